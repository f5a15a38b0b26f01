import { assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { fastReconnect, withSource } from "../heard.ts";
import { Stream } from "../stream.ts";

/** An event stream and the events that a source dispatches for it. */
interface Format {
  /** The name of the case without its subject, `EventSource`. */
  name: string;
  body: string;
  /** The recorded events. Includes events named `a`. */
  events: string[];
  contentType?: string;
}

const formats: Format[] = [
  {
    name: "drops one BOM at the start of the stream and no other",
    body: "\uFEFFdata: 1\n\n\uFEFFdata: 2\n\ndata: 3\n\n",
    events: ["message: 1", "message: 3"],
  },
  {
    name: "treats the second of two BOMs as part of the field name",
    body: "\uFEFF\uFEFFdata: 1\n\ndata: 2\n\n",
    events: ["message: 2"],
  },
  {
    name: "ignores comments, including long and empty ones",
    body: `:\ndata: 1\r:${"x".repeat(5000)}\n: data: no\r\ndata: 2\n:\n\n`,
    events: ["message: 1\n2"],
  },
  {
    name: "drops an event without a final blank line",
    body: "data: 1\n\ndata: 2\n",
    events: ["message: 1"],
  },
  {
    name: "dispatches an event with empty data",
    body: "data\n\ndata:\n\ndata\ndata\n\n",
    events: ["message: ", "message: ", "message: \n"],
  },
  {
    name: "does not dispatch an event without data",
    body: "event: a\n\nid: 1\n\n: note\n\nretry: 1\n\ndata: 1\n\n",
    events: ["message: 1 #1"],
  },
  {
    name: "applies an event field only to its own event",
    body: "event: a\ndata: 1\n\ndata: 2\n\n",
    events: ["a: 1", "message: 2"],
  },
  {
    name: "dispatches an event with an empty name as a message",
    body: "event: \ndata: 1\n\nevent\ndata: 2\n\nevent: a\nevent:\ndata: 3\n\n",
    events: ["message: 1", "message: 2", "message: 3"],
  },
  {
    name: "keeps the last event ID until another id field arrives",
    body: "data: 0\n\nid: 1\ndata: 1\n\ndata: 2\n\nid: ☃\ndata: 3\n\n",
    events: ["message: 0", "message: 1 #1", "message: 2 #1", "message: 3 #☃"],
  },
  {
    name: "clears the last event ID if the id field is empty",
    body: "id: 1\ndata: 1\n\nid\ndata: 2\n\nid: 3\ndata: 3\n\nid:\ndata: 4\n\n",
    events: ["message: 1 #1", "message: 2", "message: 3 #3", "message: 4"],
  },
  {
    name: "ignores an id that contains NUL",
    body: "id: 1\ndata: 1\n\nid: 2\0\ndata: 2\n\nid: \0\ndata: 3\n\n",
    events: ["message: 1 #1", "message: 2 #1", "message: 3 #1"],
  },
  {
    name: "ignores fields whose names do not match exactly",
    body: "Data: no\nDATA: no\n data: no\ndata : no\ndatum: no\n\0data: no\n" +
      "data\0: no\ndata: yes\nfield: no\nx\n\n",
    events: ["message: yes"],
  },
  {
    name: "removes one space after the colon and no other",
    body: "data:1\ndata: 2\ndata:  3\ndata:\t4\ndata: 5 \ndata: :6\n\n",
    events: ["message: 1\n2\n 3\n\t4\n5 \n:6"],
  },
  {
    name: "ends lines at CR, LF and CRLF",
    body: "data: 1\rdata: 2\ndata: 3\r\ndata: 4\r\rdata: 5\r\n\r\n",
    events: ["message: 1\n2\n3\n4", "message: 5"],
  },
  {
    name: "keeps NUL in data and event names",
    body: "data: \0a\0\n\nevent: \0\ndata: 1\n\ndata: 2\n\n",
    events: ["message: \0a\0", "message: 2"],
  },
  {
    name: "decodes UTF-8 even if the content type has another charset",
    body: "data: é☃🎉\n\n",
    events: ["message: é☃🎉"],
    contentType: "text/event-stream; charset=windows-1252",
  },
];

/** Streams with `retry` fields, and the reconnection time after them. */
const retries: { name: string; body: string; time: number }[] = [
  {
    name: "uses the last of several retry fields",
    body: "retry: 7\nretry: 8\n",
    time: 8,
  },
  {
    name: "accepts a retry with leading zeros",
    body: "retry: 0012\n",
    time: 12,
  },
  { name: "accepts a retry without a space", body: "retry:12\n", time: 12 },
  {
    name: "ignores a retry that is not all digits",
    body: "retry: 7\nretry: 8x\nretry: -8\nretry: +8\nretry: 8.5\nretry: 0x8\n",
    time: 7,
  },
  {
    name: "ignores an empty retry",
    body: "retry: 7\nretry\nretry:\n",
    time: 7,
  },
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
      await withSource(server.url, fastReconnect, async (_, recorder) => {
        assertEquals(await recorder.nextLines(events.length + 3), [
          "open",
          ...events,
          "error: truncated, connecting",
          "error: status, closed",
        ]);
      }, ["a"]);
    },
  })),
  ...retries.map(({ name, body, time }): Case => ({
    name: `EventSource ${name}`,
    async run(context) {
      const server = new Stream(context, [
        { body: `${body}\ndata: 1\n\n`, then: "hang" },
      ]);
      await withSource(server.url, undefined, async (source, recorder) => {
        assertEquals(source.reconnectionTime, 3000);
        assertEquals(await recorder.nextLines(2), ["open", "message: 1"]);
        assertEquals(source.reconnectionTime, time);
      });
    },
  })),
];
