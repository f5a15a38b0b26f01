import { assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { soon, withSource } from "../heard.ts";
import { Stream } from "../stream.ts";

/** An event stream and what a source makes of it. */
interface Format {
  /** A sentence about behaviour, less its subject. */
  name: string;
  body: string;
  /** The events of it; those named `a` are listened for too. */
  events: string[];
  contentType?: string;
}

const formats: Format[] = [
  {
    name: "drops one BOM at the start and no other",
    body: "\uFEFFdata: 1\n\n\uFEFFdata: 2\n\ndata: 3\n\n",
    events: ["message: 1", "message: 3"],
  },
  {
    name: "takes the second of two BOMs for a part of the name",
    body: "\uFEFF\uFEFFdata: 1\n\ndata: 2\n\n",
    events: ["message: 2"],
  },
  {
    name: "passes over comments, also long and empty ones",
    body: `:\ndata: 1\r:${"x".repeat(5000)}\n: data: no\r\ndata: 2\n:\n\n`,
    events: ["message: 1\n2"],
  },
  {
    name: "drops an event that no blank line ends",
    body: "data: 1\n\ndata: 2\n",
    events: ["message: 1"],
  },
  {
    name: "dispatches an event whose data is empty",
    body: "data\n\ndata:\n\ndata\ndata\n\n",
    events: ["message: ", "message: ", "message: \n"],
  },
  {
    name: "dispatches nothing for an event without data",
    body: "event: a\n\nid: 1\n\n: note\n\nretry: 1\n\ndata: 1\n\n",
    events: ["message: 1 #1"],
  },
  {
    name: "names an event, and only that one",
    body: "event: a\ndata: 1\n\ndata: 2\n\n",
    events: ["a: 1", "message: 2"],
  },
  {
    name: "gives an event with an empty name to message listeners",
    body: "event: \ndata: 1\n\nevent\ndata: 2\n\nevent: a\nevent:\ndata: 3\n\n",
    events: ["message: 1", "message: 2", "message: 3"],
  },
  {
    name: "keeps an id until there is another",
    body: "data: 0\n\nid: 1\ndata: 1\n\ndata: 2\n\nid: ☃\ndata: 3\n\n",
    events: ["message: 0", "message: 1 #1", "message: 2 #1", "message: 3 #☃"],
  },
  {
    name: "forgets the id where it comes empty",
    body: "id: 1\ndata: 1\n\nid\ndata: 2\n\nid: 3\ndata: 3\n\nid:\ndata: 4\n\n",
    events: ["message: 1 #1", "message: 2", "message: 3 #3", "message: 4"],
  },
  {
    name: "ignores an id with a NUL",
    body: "id: 1\ndata: 1\n\nid: 2\0\ndata: 2\n\nid: \0\ndata: 3\n\n",
    events: ["message: 1 #1", "message: 2 #1", "message: 3 #1"],
  },
  {
    name: "knows fields by their exact names",
    body: "Data: no\nDATA: no\n data: no\ndata : no\ndatum: no\n\0data: no\n" +
      "data\0: no\ndata: yes\nfield: no\nx\n\n",
    events: ["message: yes"],
  },
  {
    name: "drops one space after the colon and no other",
    body: "data:1\ndata: 2\ndata:  3\ndata:\t4\ndata: 5 \ndata: :6\n\n",
    events: ["message: 1\n2\n 3\n\t4\n5 \n:6"],
  },
  {
    name: "ends lines at CR, LF and CRLF",
    body: "data: 1\rdata: 2\ndata: 3\r\ndata: 4\r\rdata: 5\r\n\r\n",
    events: ["message: 1\n2\n3\n4", "message: 5"],
  },
  {
    name: "leaves NUL in data and names as it is",
    body: "data: \0a\0\n\nevent: \0\ndata: 1\n\ndata: 2\n\n",
    events: ["message: \0a\0", "message: 2"],
  },
  {
    name: "reads UTF-8 whatever charset the type names",
    body: "data: é☃🎉\n\n",
    events: ["message: é☃🎉"],
    contentType: "text/event-stream; charset=windows-1252",
  },
];

/** Of `retry`: the lines, and the reconnection time after them. */
const retries: { name: string; body: string; time: number }[] = [
  { name: "takes the newest", body: "retry: 7\nretry: 8\n", time: 8 },
  { name: "takes zeros before it", body: "retry: 0012\n", time: 12 },
  { name: "takes it without a space", body: "retry:12\n", time: 12 },
  {
    name: "ignores what is no number",
    body: "retry: 7\nretry: 8x\nretry: -8\nretry: +8\nretry: 8.5\nretry: 0x8\n",
    time: 7,
  },
  { name: "ignores an empty one", body: "retry: 7\nretry\nretry:\n", time: 7 },
];

export const eventSourceFormat: Case[] = [
  ...formats.map(({ name, body, events, contentType }): Case => ({
    name: `EventSource ${name}`,
    async run(context) {
      const headers = contentType && { "content-type": contentType };
      const server = new Stream(context, [
        { body, ...headers && { headers } },
        { status: 204 },
      ]);
      await withSource(server.url, soon, async (_, heard) => {
        assertEquals(await heard.take(events.length + 3), [
          "open",
          ...events,
          "error: truncated, connecting",
          "error: status, closed",
        ]);
      }, ["a"]);
    },
  })),
  ...retries.map(({ name, body, time }): Case => ({
    name: `EventSource reads retry and ${name}`,
    async run(context) {
      const server = new Stream(context, [
        { body: `${body}\ndata: 1\n\n`, then: "hang" },
      ]);
      await withSource(server.url, undefined, async (source, heard) => {
        assertEquals(source.reconnectionTime, 3000);
        assertEquals(await heard.take(2), ["open", "message: 1"]);
        assertEquals(source.reconnectionTime, time);
      });
    },
  })),
];
