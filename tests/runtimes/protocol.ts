/** One reply of the fixture server; what a case has it say. */
export interface Reply {
  /** Send no response at all, not even headers. */
  silent?: boolean;
  /** Default: 200. */
  status?: number;
  /**
   * Added to `Content-Type: text/event-stream`. A `content-encoding` of gzip is
   * carried out.
   */
  headers?: Record<string, string>;
  /** Sent at once. */
  body?: string;
  /** Frame the body by neither length nor chunks: the connection's end ends it. */
  bare?: boolean;
  /**
   * What follows the body, default `"end"`: its proper end; nothing, on an open
   * connection; or, once the case says go, the connection closed or reset in
   * the middle.
   */
  then?: "end" | "hang" | "cut" | "reset";
}

/** What the fixture server saw at one URL. */
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
  /** How often a client went before its reply was over. */
  disconnects: number;
}

/** How the suite is started in a runtime. */
export interface Context {
  /** The runtime's name in the table. */
  runtime: string;
  /** Of the fixture server; in a browser, of the page too. */
  origin: string;
  /** The same server on another port. */
  crossOrigin: string;
  /** Where nobody listens. */
  closedOrigin: string;
  browser: boolean;
}

/** How a case went in a runtime. */
export interface Result {
  name: string;
  /** Absent where the case passed. */
  error?: string;
}
