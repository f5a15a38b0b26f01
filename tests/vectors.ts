/**
 * Test cases of the wire format: streams, and the result of decoding them. This
 * file imports nothing, so that the same cases run on every runtime.
 */

export interface Vector {
  name: string;
  /** The stream. Tests may also join the chunks, or split them elsewhere. */
  chunks: (string | Uint8Array<ArrayBuffer>)[];
  events: {
    event: string;
    data: string;
    id: string;
    retry: number | undefined;
  }[];
  /** The last event ID at the end of the stream. */
  lastEventId: string;
  /** The reconnection time at the end of the stream. */
  reconnectionTime: number | undefined;
  /** The comments in order. If undefined, tests do not compare them. */
  comments?: string[];
}

/** A vector as written below. A missing property means that no field sets it. */
interface Case {
  name: string;
  chunks: (string | Uint8Array<ArrayBuffer>)[];
  events?: { event?: string; data: string; id?: string; retry?: number }[];
  lastEventId?: string;
  reconnectionTime?: number;
  comments?: string[];
}

/** Returns a byte for each character: its code. */
function bytes(latin1: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
}

const cases: Case[] = [
  // The examples of the standard.
  {
    name: "standard: three messages, one with two lines",
    chunks: [
      "data: This is the first message.\n\n",
      "data: This is the second message, it\ndata: has two lines.\n\n",
      "data: This is the third message.\n\n",
    ],
    events: [
      { data: "This is the first message." },
      { data: "This is the second message, it\nhas two lines." },
      { data: "This is the third message." },
    ],
  },
  {
    name: "standard: named events",
    chunks: [
      "event: add\ndata: 73857293\n\n",
      "event: remove\ndata: 2153\n\n",
      "event: add\ndata: 113411\n\n",
    ],
    events: [
      { event: "add", data: "73857293" },
      { event: "remove", data: "2153" },
      { event: "add", data: "113411" },
    ],
  },
  {
    name: "standard: a stock quote on three data lines",
    chunks: ["data: YHOO\ndata: +2\ndata: 10\n\n"],
    events: [{ data: "YHOO\n+2\n10" }],
  },
  {
    name: "standard: four blocks, the last of them unfinished",
    chunks: [
      ": test stream\n\ndata: first event\nid: 1\n\n",
      "data:second event\nid\n\ndata:  third event",
    ],
    events: [{ data: "first event", id: "1" }, { data: "second event" }],
    comments: ["test stream"],
  },
  {
    name: "standard: four blocks, the last of them finished",
    chunks: [
      ": test stream\n\ndata: first event\nid: 1\n\n",
      "data:second event\nid\n\ndata:  third event\n\n",
    ],
    events: [
      { data: "first event", id: "1" },
      { data: "second event" },
      { data: " third event" },
    ],
    comments: ["test stream"],
  },
  {
    name: "standard: empty data, a single line feed, an unfinished event",
    chunks: ["data\n\ndata\ndata\n\ndata:"],
    events: [{ data: "" }, { data: "\n" }],
  },
  {
    name: "standard: one space after the colon is optional",
    chunks: ["data:test\n\ndata: test\n\n"],
    events: [{ data: "test" }, { data: "test" }],
  },

  // Streams as servers send them.
  {
    name: "tokens of a language model up to [DONE]",
    chunks: [
      'data: {"delta":"Hel"}\n\ndata: {"del',
      'ta":"lo"}\n\n',
      "data: [DONE]\n\n",
    ],
    events: [
      { data: '{"delta":"Hel"}' },
      { data: '{"delta":"lo"}' },
      { data: "[DONE]" },
    ],
  },
  {
    name: "JSON-RPC over CRLF with an id and an event type",
    chunks: [
      "event: message\r\nid: s1_0\r\n",
      'data: {"jsonrpc":"2.0","id":1,"result":{}}\r\n\r\n',
    ],
    events: [{ data: '{"jsonrpc":"2.0","id":1,"result":{}}', id: "s1_0" }],
    lastEventId: "s1_0",
  },
  {
    name: "keep-alive comments between events",
    chunks: [":\n\n", "data: a\n\n", ":\n\n:\n\n", "data: b\n\n"],
    events: [{ data: "a" }, { data: "b" }],
    comments: ["", "", ""],
  },
  {
    name: "every field at once",
    chunks: ["retry: 250\nevent: tick\nid: 42\ndata: one\ndata: two\n\n"],
    events: [{ event: "tick", data: "one\ntwo", id: "42", retry: 250 }],
    lastEventId: "42",
    reconnectionTime: 250,
  },

  // Streams without events.
  { name: "no chunk", chunks: [] },
  { name: "one empty chunk", chunks: [""] },
  { name: "only blank lines", chunks: ["\n\n\r\n\r\n\r\r\n\n"] },
  {
    name: "only comments",
    chunks: [": a\n:b\n\n: c\n\n"],
    comments: ["a", "b", "c"],
  },

  // Line ends.
  {
    name: "lines end with LF",
    chunks: ["data: a\ndata: b\n\ndata: c\n\n"],
    events: [{ data: "a\nb" }, { data: "c" }],
  },
  {
    name: "lines end with CRLF",
    chunks: ["data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"],
    events: [{ data: "a\nb" }, { data: "c" }],
  },
  {
    name: "lines end with CR",
    chunks: ["data: a\rdata: b\r\rdata: c\r\r"],
    events: [{ data: "a\nb" }, { data: "c" }],
  },
  {
    name: "each line ends differently",
    chunks: [
      "event: x\rid: 1\r\ndata: a\ndata: b\rdata: c\r\n\r",
      "data: d\n\n",
    ],
    events: [
      { event: "x", data: "a\nb\nc", id: "1" },
      { data: "d", id: "1" },
    ],
    lastEventId: "1",
  },
  {
    name: "LF then CR is two line ends",
    chunks: ["data: a\n\rdata: b\n\r"],
    events: [{ data: "a" }, { data: "b" }],
  },
  {
    name: "CR then CRLF is two line ends",
    chunks: ["data: a\r\r\ndata: b\r\r\n"],
    events: [{ data: "a" }, { data: "b" }],
  },
  {
    name: "CRLF then LF is two line ends",
    chunks: ["data: a\r\n\ndata: b\r\n\n"],
    events: [{ data: "a" }, { data: "b" }],
  },
  {
    name: "CRLF then CR is two line ends",
    chunks: ["data: a\r\n\rdata: b\r\n\r"],
    events: [{ data: "a" }, { data: "b" }],
  },
  {
    name: "LF then CRLF is two line ends",
    chunks: ["data: a\n\r\ndata: b\n\r\n"],
    events: [{ data: "a" }, { data: "b" }],
  },
  {
    name: "a CRLF split between two chunks is one line end",
    chunks: ["data: a\r", "\ndata: b\r", "\n\r", "\n"],
    events: [{ data: "a\nb" }],
  },
  {
    name: "a CRLF split around an empty chunk is one line end",
    chunks: ["data: a\r", "", "\ndata: b\r", bytes(""), "\n", "\n"],
    events: [{ data: "a\nb" }],
  },
  {
    name: "a CR at the end of the stream completes the event",
    chunks: ["data: a\r\r"],
    events: [{ data: "a" }],
  },
  {
    name: "several blank lines dispatch one event",
    chunks: ["\n\ndata: a\n\n\n\n\r\n\r\rdata: b\n\n\n"],
    events: [{ data: "a" }, { data: "b" }],
  },
  {
    name: "the first line is blank",
    chunks: ["\r\ndata: a\r\n\r\n"],
    events: [{ data: "a" }],
  },
  {
    name: "U+2028 and U+2029 do not end a line",
    chunks: ["data: a\u2028data: b\u2029\u2028\n\n"],
    events: [{ data: "a\u2028data: b\u2029\u2028" }],
  },
  {
    name:
      "U+0085, vertical tab, form feed and U+001C to U+001E do not end a line",
    chunks: ["data: a\u0085\vb\f\x1c\x1d\x1ec\n\n"],
    events: [{ data: "a\u0085\vb\f\x1c\x1d\x1ec" }],
  },
  {
    name: "a backslash followed by n does not end a line",
    chunks: ["data: a\\nb\\r\n\n"],
    events: [{ data: "a\\nb\\r" }],
  },

  // Byte order marks.
  {
    name: "BOM: dropped at the start",
    chunks: ["\uFEFFdata: a\n\n"],
    events: [{ data: "a" }],
  },
  {
    name: "BOM: dropped at the start, also if split into three chunks",
    chunks: [bytes("\xEF"), bytes("\xBB"), bytes("\xBFdata: a\n\n")],
    events: [{ data: "a" }],
  },
  {
    name: "BOM: a second one is part of the field name",
    chunks: ["\uFEFF\uFEFFdata: a\n\ndata: b\n\n"],
    events: [{ data: "b" }],
  },
  {
    name: "BOM: before a later line, part of the field name",
    chunks: ["data: a\n\uFEFFdata: b\n\n\uFEFFdata: c\n\n"],
    events: [{ data: "a" }],
  },
  {
    name: "BOM: kept anywhere in a value",
    chunks: ["data:\uFEFFa\ndata: \uFEFF\ndata: b\uFEFF\n\n"],
    events: [{ data: "\uFEFFa\n\uFEFF\nb\uFEFF" }],
  },
  { name: "BOM: nothing else", chunks: ["\uFEFF"] },
  {
    name: "BOM: before a blank line",
    chunks: ["\uFEFF\n\ndata: a\n\n"],
    events: [{ data: "a" }],
  },
  {
    name: "BOM: before a comment",
    chunks: ["\uFEFF: hi\ndata: a\n\n"],
    events: [{ data: "a" }],
    comments: ["hi"],
  },
  {
    name: "BOM: not at the start after a blank line",
    chunks: ["\n\uFEFFdata: a\n\ndata: b\n\n"],
    events: [{ data: "b" }],
  },
  {
    name: "BOM: its first two bytes alone are invalid UTF-8",
    chunks: [bytes("\xEF\xBBdata: a\n\ndata: b\n\n")],
    events: [{ data: "b" }],
  },
  {
    name: "BOM: not at the start after an incomplete one",
    chunks: [bytes("\xEF\xBB\xEF\xBB\xBFdata: a\n\ndata: b\n\n")],
    events: [{ data: "b" }],
  },
  {
    name: "BOM: the one of UTF-16 is invalid UTF-8",
    chunks: [bytes("\xFF\xFEdata: a\n\ndata: b\n\n")],
    events: [{ data: "b" }],
  },

  // UTF-8.
  {
    name: "UTF-8: sequences of two, three and four bytes in every field",
    chunks: ["event: é\nid: ☃\ndata: 🎉é☃\n: ☃🎉\n\n"],
    events: [{ event: "é", data: "🎉é☃", id: "☃" }],
    lastEventId: "☃",
    comments: ["☃🎉"],
  },
  {
    name: "UTF-8: a sequence split between chunks",
    chunks: [
      bytes("data: \xF0"),
      bytes("\x9F\x8E"),
      bytes("\x89\xE2\x98"),
      bytes("\x83\n\n"),
    ],
    events: [{ data: "🎉☃" }],
  },
  {
    name: "UTF-8: a surrogate pair split between string chunks",
    chunks: ["data: \uD83C", "\uDF89\n\n"],
    events: [{ data: "🎉" }],
  },
  {
    name: "UTF-8: an incomplete sequence before a string is invalid",
    chunks: [bytes("data: \xE2\x98"), "a\n", "\n"],
    events: [{ data: "\uFFFDa" }],
  },
  {
    name: "UTF-8: alternating strings and bytes",
    chunks: [
      "dat",
      bytes("a: "),
      "é",
      bytes("\xC3\xA9"),
      "\r",
      bytes("\n\r\n"),
    ],
    events: [{ data: "éé" }],
  },
  {
    name: "UTF-8: bytes that are never valid",
    chunks: [bytes("data: a\xFFb\xFE\xC0\xC1\xF5\n\n")],
    events: [{ data: "a\uFFFDb\uFFFD\uFFFD\uFFFD\uFFFD" }],
  },
  {
    name: "UTF-8: lone continuation bytes",
    chunks: [bytes("data: \x80a\xBF\xBF\n\n")],
    events: [{ data: "\uFFFDa\uFFFD\uFFFD" }],
  },
  {
    name: "UTF-8: a line end inside a sequence still ends the line",
    chunks: [bytes("data: a\xC3\ndata: b\xE2\x98\r\ndata: c\xF0\x9F\x8E\r\r")],
    events: [{ data: "a\uFFFD\nb\uFFFD\nc\uFFFD" }],
  },
  {
    name: "UTF-8: an overlong line feed does not end a line",
    chunks: [bytes("data: a\xC0\x8Ab\xE0\x80\x8Ac\n\n")],
    events: [{ data: "a\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFDc" }],
  },
  {
    name: "UTF-8: an encoded surrogate and a code point above U+10FFFF",
    chunks: [bytes("data: \xED\xA0\x80|\xF4\x90\x80\x80\n\n")],
    events: [{ data: "\uFFFD\uFFFD\uFFFD|\uFFFD\uFFFD\uFFFD\uFFFD" }],
  },
  {
    name: "UTF-8: a field name with an invalid byte is unknown",
    chunks: [bytes("data\xFF: a\nda\xC3ta: b\n\xE2data: c\ndata\xE2: d\n\n")],
  },
  {
    name: "UTF-8: an invalid byte in an id and an event type",
    chunks: [bytes("id: \xFF\nevent: \xE9\ndata: a\n\n")],
    events: [{ event: "\uFFFD", data: "a", id: "\uFFFD" }],
    lastEventId: "\uFFFD",
  },
  {
    name: "UTF-8: the stream ends inside a sequence",
    chunks: [bytes("data: a\n\ndata: \xF0\x9F")],
    events: [{ data: "a" }],
  },
  {
    name: "UTF-8: noncharacters and private-use characters are kept",
    chunks: ["data: \uFFFE\uFFFF\uE000\u{10FFFF}\n\n"],
    events: [{ data: "\uFFFE\uFFFF\uE000\u{10FFFF}" }],
  },

  // Field values.
  {
    name: "value: starts after the first colon",
    chunks: ["data:a:b:c\ndata: d: e\ndata::\n\n"],
    events: [{ data: "a:b:c\nd: e\n:" }],
  },
  {
    name: "value: exactly one leading space is removed",
    chunks: ["data:  a\ndata:   b\nevent:  e \nid:  i \n\n"],
    events: [{ event: " e ", data: " a\n  b", id: " i " }],
    lastEventId: " i ",
  },
  {
    name: "value: trailing spaces are kept",
    chunks: ["data: a  \ndata:b\t \n\n"],
    events: [{ data: "a  \nb\t " }],
  },
  {
    name: "value: other white space after the colon is kept",
    chunks: ["data:\ta\ndata:\u00A0b\ndata:\u3000c\ndata: \td\n\n"],
    events: [{ data: "\ta\n\u00A0b\n\u3000c\n\td" }],
  },
  {
    name: "value: a NUL in data and in an event type is kept",
    chunks: ["event: x\0y\ndata: a\0b\0\n\n"],
    events: [{ event: "x\0y", data: "a\0b\0" }],
  },
  {
    name: "value: 300 characters",
    chunks: ["data: " + "0123456789".repeat(30) + "\n\n"],
    events: [{ data: "0123456789".repeat(30) }],
  },

  // data.
  {
    name: "data: an empty value dispatches an event, in each spelling",
    chunks: ["data\n\ndata:\n\ndata: \n\n"],
    events: [{ data: "" }, { data: "" }, { data: "" }],
  },
  {
    name: "data: a value of one space",
    chunks: ["data:  \n\n"],
    events: [{ data: " " }],
  },
  {
    name:
      "data: empty lines at the start, in the middle and at the end are kept",
    chunks: ["data\ndata: a\ndata:\ndata: \ndata: b\ndata\n\n"],
    events: [{ data: "\na\n\n\nb\n" }],
  },
  {
    name: "data: lines are joined across other fields and comments",
    chunks: [
      "data: a\nid: 1\n: note\ndata: b\nfoo: bar\nevent: e\ndata: c\n\n",
    ],
    events: [{ event: "e", data: "a\nb\nc", id: "1" }],
    lastEventId: "1",
    comments: ["note"],
  },
  {
    name: "data: values that look like other fields",
    chunks: ["data: id: 1\ndata: event: x\ndata: retry: 5\ndata: : c\n\n"],
    events: [{ data: "id: 1\nevent: x\nretry: 5\n: c" }],
    comments: [],
  },
  {
    name: "data: does not leak into the next event",
    chunks: ["data: a\ndata: b\n\ndata: c\n\n"],
    events: [{ data: "a\nb" }, { data: "c" }],
  },

  // event.
  {
    name: "event: sets the type of one event only",
    chunks: ["event: a\ndata: 1\n\ndata: 2\n\n"],
    events: [{ event: "a", data: "1" }, { data: "2" }],
  },
  {
    name: "event: the last one of a block applies, also after its data",
    chunks: ["event: a\ndata: 1\nevent: b\n\n"],
    events: [{ event: "b", data: "1" }],
  },
  {
    name: "event: an empty one means message, also after another type",
    chunks: [
      "event:\ndata: 1\n\nevent\ndata: 2\n\nevent: a\nevent: \ndata: 3\n\n",
    ],
    events: [{ data: "1" }, { data: "2" }, { data: "3" }],
  },
  {
    name: "event: in a block without data, does not leak into the next event",
    chunks: ["event: a\n\ndata: 1\n\n"],
    events: [{ data: "1" }],
  },
  {
    name: "event: without data, dispatches nothing",
    chunks: ["event: a\n\nevent: b\n\n"],
  },
  {
    name: "event: any name is allowed",
    chunks: [
      "event: error\ndata: 1\n\nevent: open\ndata: 2\n\n",
      "event: __proto__\ndata: 3\n\nevent: a b:c\ndata: 4\n\n",
    ],
    events: [
      { event: "error", data: "1" },
      { event: "open", data: "2" },
      { event: "__proto__", data: "3" },
      { event: "a b:c", data: "4" },
    ],
  },

  // id.
  {
    name: "id: applies to later events, too",
    chunks: ["id: 1\ndata: a\n\ndata: b\n\ndata: c\n\n"],
    events: [
      { data: "a", id: "1" },
      { data: "b", id: "1" },
      { data: "c", id: "1" },
    ],
    lastEventId: "1",
  },
  {
    name: "id: the next one replaces it",
    chunks: ["id: 1\ndata: a\n\nid: 2\ndata: b\n\n"],
    events: [{ data: "a", id: "1" }, { data: "b", id: "2" }],
    lastEventId: "2",
  },
  {
    name: "id: an empty one resets it, in each spelling",
    chunks: [
      "id: 1\ndata: a\n\nid\ndata: b\n\n",
      "id: 2\ndata: c\n\nid:\ndata: d\n\n",
      "id: 3\ndata: e\n\nid: \ndata: f\n\n",
    ],
    events: [
      { data: "a", id: "1" },
      { data: "b" },
      { data: "c", id: "2" },
      { data: "d" },
      { data: "e", id: "3" },
      { data: "f" },
    ],
  },
  {
    name: "id: the last one of a block applies, also after its data",
    chunks: ["id: 1\ndata: a\nid: 2\n\n"],
    events: [{ data: "a", id: "2" }],
    lastEventId: "2",
  },
  {
    name: "id: ignored if it contains NUL",
    chunks: ["id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nid:\0\ndata: c\n\n"],
    events: [
      { data: "a", id: "1" },
      { data: "b", id: "1" },
      { data: "c", id: "1" },
    ],
    lastEventId: "1",
  },
  {
    name: "id: one with a NUL does not replace an earlier one of its block",
    chunks: ["id: 1\nid: \0 2\ndata: a\n\n"],
    events: [{ data: "a", id: "1" }],
    lastEventId: "1",
  },
  {
    name: "id: in a block without data, applies to the next event",
    chunks: ["id: 1\n\ndata: a\n\n"],
    events: [{ data: "a", id: "1" }],
    lastEventId: "1",
  },
  {
    name: "id: alone in the last block, sets the last event ID",
    chunks: ["id: 1\ndata: a\n\nid: 2\n\n"],
    events: [{ data: "a", id: "1" }],
    lastEventId: "2",
  },
  {
    name: "id: dropped with its unfinished block",
    chunks: ["id: 1\ndata: a\n\nid: 2\ndata: b\n"],
    events: [{ data: "a", id: "1" }],
    lastEventId: "1",
  },
  {
    name: "id: with comments but without data, dispatches nothing",
    chunks: ["id: 1\n: ping\n\n: ping\n\nid: 2\n\n: ping\n\n"],
    lastEventId: "2",
    comments: ["ping", "ping", "ping"],
  },
  {
    name: "id: any text is allowed",
    chunks: ["id: a b:c=é🎉\ndata: x\n\n"],
    events: [{ data: "x", id: "a b:c=é🎉" }],
    lastEventId: "a b:c=é🎉",
  },

  // retry.
  {
    name: "retry: in a block with data",
    chunks: ["retry: 1500\ndata: a\n\ndata: b\n\n"],
    events: [{ data: "a", retry: 1500 }, { data: "b" }],
    reconnectionTime: 1500,
  },
  {
    name: "retry: in a block without data, reported by the next event only",
    chunks: ["retry: 1500\n\ndata: a\n\ndata: b\n\n"],
    events: [{ data: "a", retry: 1500 }, { data: "b" }],
    reconnectionTime: 1500,
  },
  {
    name: "retry: applies at the end of its line, not of its block",
    chunks: ["retry: 7\n"],
    reconnectionTime: 7,
  },
  {
    name: "retry: an unfinished line is ignored",
    chunks: ["retry: 1\nretry: 23"],
    reconnectionTime: 1,
  },
  {
    name: "retry: the last valid one of a block applies",
    chunks: ["retry: 10\ndata: a\nretry: 20\nretry: x\nretry:\n\n"],
    events: [{ data: "a", retry: 20 }],
    reconnectionTime: 20,
  },
  {
    name: "retry: zero, and leading zeros",
    chunks: ["retry: 007\ndata: a\n\nretry:0\ndata: b\n\n"],
    events: [{ data: "a", retry: 7 }, { data: "b", retry: 0 }],
    reconnectionTime: 0,
  },
  {
    name: "retry: an empty one is ignored, in each spelling",
    chunks: ["retry: 5\n\nretry\ndata: a\n\nretry:\n\nretry: \n\n"],
    events: [{ data: "a", retry: 5 }],
    reconnectionTime: 5,
  },
  {
    name:
      "retry: values with signs, fractions, exponents or other bases are ignored",
    chunks: [
      "retry: -1\nretry: +1\nretry: 1.5\nretry: 1e3\nretry: 0x10\n",
      "retry: 1_000\nretry: 1,000\nretry: Infinity\nretry: NaN\ndata: a\n\n",
    ],
    events: [{ data: "a" }],
  },
  {
    name: "retry: values with white space or trailing text are ignored",
    chunks: [
      "retry:  1000\nretry: 1000 \nretry:\t1000\nretry: 1000ms\n",
      "retry: 1 000\nretry: 1000\0\nretry: 1000:\ndata: a\n\n",
    ],
    events: [{ data: "a" }],
  },
  {
    name: "retry: values with digits outside ASCII are ignored",
    chunks: ["retry: ١٢٣\nretry: １２３\nretry: 1²\nretry: 𝟙\ndata: a\n\n"],
    events: [{ data: "a" }],
  },
  {
    name: "retry: the largest safe integer",
    chunks: ["retry: 9007199254740991\ndata: a\n\n"],
    events: [{ data: "a", retry: 9007199254740991 }],
    reconnectionTime: 9007199254740991,
  },
  {
    name: "retry: larger values become the largest safe integer",
    chunks: [
      "retry: 9007199254740993\ndata: a\n\n",
      "retry: " + "9".repeat(400) + "\ndata: b\n\n",
    ],
    events: [
      { data: "a", retry: 9007199254740991 },
      { data: "b", retry: 9007199254740991 },
    ],
    reconnectionTime: 9007199254740991,
  },
  {
    name: "retry: a small number with many leading zeros",
    chunks: ["retry: " + "0".repeat(50) + "12\ndata: a\n\n"],
    events: [{ data: "a", retry: 12 }],
    reconnectionTime: 12,
  },

  // Field names.
  {
    name: "name: unknown ones are ignored, with and without a value",
    chunks: ["foo: bar\nfoo\nfoo:\n-: x\n123: y\ndata: a\nx-y_z: w\n\n"],
    events: [{ data: "a" }],
  },
  {
    name: "name: case matters",
    chunks: [
      "DATA: a\nData: b\ndatA: c\nID: 1\nId: 2\niD: 3\n",
      "Event: e\nEVENT: f\nRetry: 5\nRETRY: 6\n\ndata: x\n\n",
    ],
    events: [{ data: "x" }],
  },
  {
    name: "name: prefixes of known names are ignored",
    chunks: [
      "d: a\nda: a\ndat: a\ndat\ni: 1\ni\n",
      "e: x\nev: x\neve: x\neven: x\nr: 5\nre: 5\nret: 5\nretr: 5\nretr\n\n",
      "data: x\n\n",
    ],
    events: [{ data: "x" }],
  },
  {
    name: "name: longer names that start with a known one are ignored",
    chunks: [
      "datas: a\ndata2: a\ndatadata: a\nids: 1\nid2: 1\nidid\n",
      "events: x\neventevent: x\nretry2: 5\nretrys\nretry-after: 5\n\n",
      "data: x\n\n",
    ],
    events: [{ data: "x" }],
  },
  {
    name: "name: with white space around it, unknown",
    chunks: [
      " data: a\n\tdata: b\ndata : c\ndata\t: d\n data\ndata \n",
      " id: 1\nid : 1\n event: e\nevent : e\nretry : 5\n\ndata: x\n\n",
    ],
    events: [{ data: "x" }],
  },
  {
    name: "name: with a NUL in it, unknown",
    chunks: ["data\0: a\n\0data: b\nda\0ta: c\n\0\nid\0: 1\n\ndata: x\n\n"],
    events: [{ data: "x" }],
  },
  {
    name: "name: with look-alike characters, unknown",
    chunks: [
      "dаta: cyrillic\nｄata: wide\ndata： wide colon\ndata;x\n\ndata: x\n\n",
    ],
    events: [{ data: "x" }],
  },
  {
    name: "name: names of JavaScript's built-in properties are ignored",
    chunks: [
      "__proto__: a\nconstructor: b\ntoString: c\nlength: 5\ndata: x\n\n",
    ],
    events: [{ data: "x" }],
  },
  {
    name: "name: a known one in the value of an unknown field",
    chunks: ["foo: data: a\nfoo:data\nfoodata: b\nfoo data: c\ndata: x\n\n"],
    events: [{ data: "x" }],
  },
  {
    name: "name: a long unknown one before an event",
    chunks: ["x".repeat(300) + "data: a\n" + "y".repeat(300) + "\ndata: x\n\n"],
    events: [{ data: "x" }],
  },
  {
    name: "name: JSON and HTML contain no event",
    chunks: ['{"data": "a"}\n\n<html>\n<p>data: b</p>\n</html>\n\n'],
  },

  // Comments.
  {
    name: "comment: empty, with a space, with spaces, with colons",
    chunks: [":\n: \n:  \n::\n:: a\n: b: c\n"],
    comments: ["", "", " ", ":", ": a", "b: c"],
  },
  {
    name: "comment: exactly one leading space is removed",
    chunks: [":a\n: b\n:  c\n:\td\n: e \n"],
    comments: ["a", "b", " c", "\td", "e "],
  },
  {
    name: "comment: fields in it are ignored",
    chunks: [
      ":data: a\n: data: b\n:id: 1\n:retry: 5\n:event: e\n\ndata: x\n\n",
    ],
    events: [{ data: "x" }],
    comments: ["data: a", "data: b", "id: 1", "retry: 5", "event: e"],
  },
  {
    name: "comment: with each kind of line end",
    chunks: [": a\r: b\r\n: c\n: d\r", "\n:e\r"],
    comments: ["a", "b", "c", "d", "e"],
  },
  {
    name: "comment: does not end an event",
    chunks: ["data: a\n:\ndata: b\n: c\n\n"],
    events: [{ data: "a\nb" }],
    comments: ["", "c"],
  },
  {
    name: "comment: an unfinished one is dropped",
    chunks: [": a\n: b"],
    comments: ["a"],
  },
  {
    name: "comment: NUL, BOM and invalid UTF-8 in it",
    chunks: [bytes(": a\0b\n:\xEF\xBB\xBFc\n: \xFF\xE2\x98\n\n")],
    comments: ["a\0b", "\uFEFFc", "\uFFFD\uFFFD"],
  },
  {
    name: "comment: with a space before the colon, an unknown field",
    chunks: [" : a\n\ndata: x\n\n"],
    events: [{ data: "x" }],
    comments: [],
  },

  // Blocks without data, and unfinished blocks.
  {
    name: "block without data: all the other fields",
    chunks: ["event: e\nid: 1\nretry: 5\nfoo: bar\n: c\n\n"],
    lastEventId: "1",
    reconnectionTime: 5,
    comments: ["c"],
  },
  {
    name: "block without data: between two events",
    chunks: ["data: a\n\nevent: e\nid: 9\nretry: 5\n\ndata: b\n\n"],
    events: [{ data: "a" }, { data: "b", id: "9", retry: 5 }],
    lastEventId: "9",
    reconnectionTime: 5,
  },
  {
    name: "unfinished: a complete data line without a blank line",
    chunks: ["data: a\n\ndata: b\n"],
    events: [{ data: "a" }],
  },
  {
    name: "unfinished: a data line without a line end",
    chunks: ["data: a\n\ndata: b"],
    events: [{ data: "a" }],
  },
  {
    name: "unfinished: every field without a blank line",
    chunks: ["event: e\nid: 1\nretry: 5\ndata: a\r\n"],
    reconnectionTime: 5,
  },
  {
    name: "unfinished: a field name",
    chunks: ["data: a\n\ndat"],
    events: [{ data: "a" }],
  },
];

export const vectors: Vector[] = cases.map((it) => ({
  name: it.name,
  chunks: it.chunks,
  events: (it.events ?? []).map((event) => ({
    event: event.event ?? "message",
    data: event.data,
    id: event.id ?? "",
    retry: event.retry,
  })),
  lastEventId: it.lastEventId ?? "",
  reconnectionTime: it.reconnectionTime,
  ...(it.comments && { comments: it.comments }),
}));
