import { SseEventStream } from "../../../mod.ts";
import { assertEquals, rejection } from "../assert.ts";
import type { Case } from "../case.ts";
import { drain, streamOf } from "../read.ts";

const chunks = [
  "data: 1\n\n",
  "data: 2\n\ndata: 3\n\n",
  "data: 4\n\n",
  ": c\n",
];

/** Iterates `SseEventStream` with the runtime's own iterator. */
export const looping: Case[] = [
  {
    name: "SseEventStream yields all events in order in a for-await loop",
    async run() {
      const data: string[] = [];
      for await (const event of streamOf(chunks).pipeThrough(stream())) {
        data.push(event.data);
      }
      assertEquals(data, ["1", "2", "3", "4"]);
    },
  },
  {
    name: "SseEventStream cancels its source if the loop is left",
    async run() {
      for (const last of ["1", "2"]) {
        const cancelled = Promise.withResolvers<void>();
        let number = 0;
        const source = new ReadableStream<string>({
          pull(controller) {
            controller.enqueue(chunks[number++ % 3]);
          },
          cancel: () => cancelled.resolve(),
        });
        for await (const { data } of source.pipeThrough(stream())) {
          if (data === last) break;
        }
        await cancelled.promise;
      }
    },
  },
  {
    name: "SseEventStream's iterator yields the events before an error",
    async run() {
      let controller!: ReadableStreamDefaultController<string>;
      const source = new ReadableStream<string>({
        start(it) {
          controller = it;
        },
      });
      const iterator = source.pipeThrough(stream())[Symbol.asyncIterator]();
      const first = iterator.next();
      controller.enqueue(chunks[1]);
      assertEquals((await first).value?.data, "2");
      assertEquals((await iterator.next()).value?.data, "3");
      const failing = rejection(iterator.next());
      controller.error(new Error("gone"));
      assertEquals((await failing as Error).message, "gone");
    },
  },
  {
    name: "SseEventStream keeps unread events if a preventCancel loop is left",
    async run() {
      const events = streamOf(chunks).pipeThrough(stream());
      for await (const { data } of events.values({ preventCancel: true })) {
        if (data === "2") break;
      }
      assertEquals(
        (await drain(events)).map(({ data }) => data),
        ["3", "4"],
      );
    },
  },
];

const stream = () => new SseEventStream();
