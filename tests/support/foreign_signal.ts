/** Makes a signal of another realm: native methods do not accept it. */
export function foreignSignal(): {
  signal: AbortSignal;
  abort(reason: unknown): void;
} {
  const target = new EventTarget();
  const signal = Object.assign(target, { aborted: false, reason: undefined });
  return {
    signal: signal as unknown as AbortSignal,
    abort(reason) {
      Object.assign(signal, { aborted: true, reason });
      target.dispatchEvent(new Event("abort"));
    },
  };
}
