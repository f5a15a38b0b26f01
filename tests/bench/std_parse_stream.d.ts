export class ServerSentEventParseStream extends TransformStream<
  Uint8Array<ArrayBuffer>,
  { data?: string }
> {
  constructor(options?: { ignoreComments?: boolean });
}
