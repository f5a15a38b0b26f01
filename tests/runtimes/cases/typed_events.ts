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

/** The same schema, but asynchronous. */
const asyncNumber: StandardSchema<number> = {
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
    name:
      "typedEvents yields only events that have a schema and closes on break",
    async run(context) {
      const stream = new Stream(context, [{
        body: "id: ☃\nevent: a\ndata: 1\n\nevent: toString\ndata\n\n" +
          "event: b\ndata: 2\nretry: 3\n\n",
        then: "hang",
      }]);
      const sse = await connectSse(stream.url);
      const seen: unknown[] = [];
      for await (
        const event of typedEvents(sse, { a: asyncNumber, b: number })
      ) {
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
    name: "typedEvents rejects and closes if a schema rejects the data",
    async run(context) {
      const stream = new Stream(context, [{
        body: 'data: "1"\n\n',
        then: "hang",
      }]);
      const sse = await connectSse(stream.url);
      const events = typedEvents(sse, { message: asyncNumber });
      const error = await rejection(events.next());
      assert(error instanceof TypedEventError, `Got ${error}`);
      assertEquals(error.name, "TypedEventError");
      assertEquals(error.event.data, '"1"');
      assertEquals(error.issues[0].path, ["n"]);
      await stream.log({ disconnects: 1 });
    },
  },
  {
    name: "typedEvents cancels its stream if return() is called during next()",
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
