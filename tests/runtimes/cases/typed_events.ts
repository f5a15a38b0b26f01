import { connectSse, type ServerSentEvent } from "../../../mod.ts";
import {
  type StandardSchema,
  TypedEventError,
  typedEvents,
} from "../../../src/typed_events.ts";
import { assert, assertEquals, rejection } from "../assert.ts";
import type { Case } from "../case.ts";
import { Stream } from "../stream.ts";

const number: StandardSchema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof value === "number"
        ? { value }
        : { issues: [{ message: "Expected a number", path: ["n"] }] },
  },
};

/** The same, but it takes its time. */
const late: StandardSchema<number> = {
  "~standard": {
    ...number["~standard"],
    async validate(value) {
      await new Promise((resolve) => setTimeout(resolve));
      return number["~standard"].validate(value);
    },
  },
};

export const typing: Case[] = [
  {
    name: "typedEvents gives what has a schema, and closes at a break",
    async run(context) {
      const stream = new Stream(context, [{
        body: "id: ☃\nevent: a\ndata: 1\n\nevent: toString\ndata\n\n" +
          "event: b\ndata: 2\nretry: 3\n\n",
        then: "hang",
      }]);
      const sse = await connectSse(stream.url);
      const seen: unknown[] = [];
      for await (const event of typedEvents(sse, { a: late, b: number })) {
        seen.push(event);
        if (event.event === "b") break;
      }
      assertEquals(seen, [
        { event: "a", data: 1, id: "☃", retry: undefined },
        { event: "b", data: 2, id: "☃", retry: 3 },
      ]);
      await stream.log({ disconnects: 1 });
    },
  },
  {
    name: "typedEvents throws at what a schema refuses, and closes",
    async run(context) {
      const stream = new Stream(context, [{
        body: 'data: "1"\n\n',
        then: "hang",
      }]);
      const sse = await connectSse(stream.url);
      const events = typedEvents(sse, { message: late });
      const error = await rejection(events.next());
      assert(error instanceof TypedEventError, `Got ${error}`);
      assertEquals(error.name, "TypedEventError");
      assertEquals(error.event.data, '"1"');
      assertEquals(error.issues[0].path, ["n"]);
      await stream.log({ disconnects: 1 });
    },
  },
  {
    name: "typedEvents lets go while it waits for a stream of events",
    async run() {
      const cancelled = Promise.withResolvers<void>();
      const stream = new ReadableStream<ServerSentEvent>({
        cancel: () => cancelled.resolve(),
      });
      const events = typedEvents(stream, { message: number });
      const pending = events.next();
      await events.return!();
      assertEquals((await pending).done, true);
      await cancelled.promise;
    },
  },
];
