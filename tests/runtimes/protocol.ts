/** A reply of the fixture server, as the case defines it. */
export interface Reply {
  /** Whether to send no response at all, not even headers. */
  silent?: boolean;
  /** Default: 200. */
  status?: number;
  /**
   * Added to `Content-Type: text/event-stream`. With `content-encoding: gzip`, the
   * server compresses the body.
   */
  headers?: Record<string, string>;
  /** Sent immediately. */
  body?: string;
  /**
   * Whether to send the body without a length and without chunks, so that it ends
   * when the connection closes.
   */
  bare?: boolean;
  /**
   * What the server does after it sends the body: `"end"` ends the response,
   * `"hang"` leaves it open, and `"cut"` and `"reset"` close or reset the
   * connection in mid-response when the case calls `breakConnections`.
   *
   * @default "end"
   */
  then?: "end" | "hang" | "cut" | "reset";
}

/** The requests to one URL of the fixture server. */
export interface Log {
  /** In order, without preflights. */
  requests: {
    method: string;
    /** By lower-case name, a character for each byte. */
    headers: Record<string, string>;
    body: string;
  }[];
  /** The `Access-Control-Request-Headers` of each preflight, in order. */
  preflights: string[];
  /** The number of clients that disconnected before the end of the reply. */
  disconnects: number;
}

/** The argument of the suite in a runtime. */
export interface Context {
  /** The runtime's name in the table. */
  runtime: string;
  /** The origin of the fixture server and, in a browser, of the page. */
  origin: string;
  /** The origin of the same server on another port. */
  crossOrigin: string;
  /** An origin whose port is closed. */
  closedOrigin: string;
  browser: boolean;
}

/** The result of a case in a runtime. */
export interface Result {
  name: string;
  /** The error message. Absent if the case passed. */
  error?: string;
}
