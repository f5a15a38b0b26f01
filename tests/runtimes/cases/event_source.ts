import {
  EventSource,
  type EventSourceErrorEvent,
  type EventSourceInit,
  SseError,
} from "../../../src/event_source.ts";
import { assert, assertEquals } from "../assert.ts";
import type { Case } from "../case.ts";
import { EventRecorder, fastReconnect, once, withSource } from "../heard.ts";
import { streamOf } from "../read.ts";
import { Stream } from "../stream.ts";
import { eventSourceConnection } from "./event_source_connection.ts";
import { eventSourceFormat } from "./event_source_format.ts";

/** A stream of one event that stays open. */
const openReply = { body: "data: a\n\n", then: "hang" } as const;

/** Returns options that respond with this stream, and then with status 204. */
function respondWith(body: BodyInit): EventSourceInit {
  const responses = [
    new Response(body, { headers: { "content-type": "text/event-stream" } }),
    new Response(null, { status: 204 }),
  ];
  return { ...fastReconnect, fetch: () => responses.shift()! };
}

const closed = "error: status, closed";

const anywhere = "http://in.process:8080/path";

const theClass: Case[] = [
  {
    name: "EventSource has the standard's constants, which are read-only",
    run() {
      const { prototype } = EventSource;
      for (const object of [EventSource, prototype]) {
        assertEquals(object.CONNECTING, 0);
        assertEquals(object.OPEN, 1);
        assertEquals(object.CLOSED, 2);
        for (const name of ["CONNECTING", "OPEN", "CLOSED"]) {
          const constant = Object.getOwnPropertyDescriptor(object, name)!;
          assertEquals(
            [constant.writable, constant.enumerable, constant.configurable],
            [false, true, false],
          );
        }
      }
    },
  },
  {
    name:
      "EventSource has the names and property descriptors of a built-in class",
    run() {
      const { prototype } = EventSource;
      assertEquals(EventSource.name, "EventSource");
      assertEquals(EventSource.length, 1);
      assert(prototype instanceof EventTarget, "Expected an EventTarget");
      assertEquals(String(prototype), "[object EventSource]");
      const attributes = [
        ...["url", "withCredentials", "readyState"],
        ...["onopen", "onmessage", "onerror"],
        ...["lastEventId", "reconnectionTime"],
      ];
      for (const name of attributes) {
        const { get, set, enumerable, configurable } = Object
          .getOwnPropertyDescriptor(prototype, name)!;
        assertEquals([enumerable, configurable], [true, true], name);
        assertEquals(typeof get, "function", name);
        const isHandler = name.startsWith("on");
        assertEquals(typeof set, isHandler ? "function" : "undefined", name);
        assert(
          thrownBy(() => get!.call(prototype)) instanceof TypeError,
          `Expected a TypeError for ${name} on the prototype`,
        );
      }
      for (
        const [object, name] of [
          [prototype, "close"],
          [prototype, "reset"],
          [EventSource, "fromReadableStream"],
        ] as const
      ) {
        const method = Object.getOwnPropertyDescriptor(object, name)!;
        assertEquals(typeof method.value, "function");
        assertEquals([method.writable, method.enumerable], [true, true], name);
      }
      assertEquals(Object.keys(prototype).includes("constructor"), false);
      assertEquals(Object.hasOwn(prototype, "addEventListener"), false);
    },
  },
  {
    name:
      "an EventSource instance has no own properties and inherits added ones",
    async run() {
      const added = { added: { value: "added", configurable: true } };
      Object.defineProperties(EventSource.prototype, added);
      await withSource(anywhere, respondWith(""), (source) => {
        assertEquals(Object.getOwnPropertyNames(source), []);
        assertEquals(String(source), "[object EventSource]");
        assertEquals([source.CONNECTING, source.OPEN, source.CLOSED], [
          0,
          1,
          2,
        ]);
        assertEquals((source as unknown as { added: string }).added, "added");
      });
      delete (EventSource.prototype as unknown as { added?: string }).added;
    },
  },
  {
    name: "EventSource can be subclassed",
    async run() {
      class Words extends EventSource {
        words: string[] = [];
        constructor(init: EventSourceInit) {
          super(anywhere, init);
          this.onmessage = ({ data }) => this.words.push(...data.split(" "));
        }
      }
      const source = new Words(respondWith("data: a b\n\ndata: c\n\n"));
      await once(source, "error");
      assertEquals(source.words, ["a", "b", "c"]);
      source.close();
    },
  },
];

const theConstructor: Case[] = [
  {
    name: "EventSource throws a TypeError without `new` or without an argument",
    run() {
      const plain = EventSource as unknown as (url: string) => EventSource;
      const bare = EventSource as unknown as new () => EventSource;
      for (const construct of [() => plain(anywhere), () => new bare()]) {
        assert(
          thrownBy(construct) instanceof TypeError,
          "Expected a TypeError",
        );
      }
    },
  },
  {
    name: "EventSource throws a SyntaxError if the URL is invalid",
    run() {
      for (
        const url of ["http://", "http://a:b/", "http://[::1/", "//["]
      ) {
        const error = thrownBy(() => new EventSource(url));
        assert(
          error instanceof DOMException,
          `Expected a DOMException for ${url}`,
        );
        assertEquals(error.name, "SyntaxError");
        assertEquals(error.code, DOMException.SYNTAX_ERR);
      }
    },
  },
  {
    name:
      "EventSource converts its first argument to a string and parses it as a URL",
    async run() {
      const url = "HTTP://In.Process:80/a b?c#d";
      const serialized = "http://in.process/a%20b?c#d";
      for (const input of [url, new URL(url), { toString: () => url }]) {
        await withSource(input as string, respondWith(""), (source) => {
          assertEquals(source.url, serialized);
        });
      }
      const thrown = thrownBy(() => new EventSource(Symbol() as never));
      assert(thrown instanceof TypeError, "Expected a TypeError for a symbol");
    },
  },
  {
    name: "EventSource resolves a relative URL against the document's base URL",
    browserOnly: true,
    async run() {
      const { document, location } = globalThis as unknown as {
        document: {
          createElement(name: string): { href: string; remove(): void };
          head: { append(element: unknown): void };
        };
        location: { href: string };
      };
      for (const url of ["", "x?y", "/", undefined, null]) {
        await withSource(url as string, respondWith(""), (source) => {
          assertEquals(source.url, new URL(`${url}`, location.href).href);
        });
      }
      const base = document.createElement("base");
      base.href = "http://elsewhere.test/a/";
      document.head.append(base);
      try {
        await withSource("b", respondWith(""), (source) => {
          assertEquals(source.url, "http://elsewhere.test/a/b");
        });
      } finally {
        base.remove();
      }
    },
  },
  {
    name: "EventSource converts init as a Web IDL dictionary",
    async run() {
      const { fetch } = respondWith("");
      const credentials = (init: unknown) =>
        withSourceOf(init, (source) => source.withCredentials);
      assertEquals(await credentials(undefined), false);
      assertEquals(await credentials(null), false);
      assertEquals(await credentials({ fetch }), false);
      for (const yes of [true, 1, "false", {}]) {
        assertEquals(await credentials({ withCredentials: yes, fetch }), true);
      }
      for (const no of [false, 0, "", null]) {
        assertEquals(await credentials({ withCredentials: no, fetch }), false);
      }
      for (const init of [1, "init", true]) {
        const thrown = thrownBy(() => new EventSource(anywhere, init as never));
        assert(thrown instanceof TypeError, `Expected a TypeError for ${init}`);
      }
    },
  },
  {
    name: "EventSource converts its arguments in order",
    run() {
      const converted: string[] = [];
      const url = {
        toString() {
          converted.push("url");
          return "http://";
        },
      };
      const init = {
        get withCredentials() {
          converted.push("init");
          return true;
        },
      };
      const thrown = thrownBy(() => new EventSource(url as never, init));
      assertEquals((thrown as Error).name, "SyntaxError");
      assertEquals(converted, ["url", "init"]);
    },
  },
  {
    name: "EventSource dispatches an error event if an option is out of range",
    async run() {
      const wrong = [
        { idleTimeout: -1 },
        { maxEventSize: 0.5 },
        { reconnect: { jitter: 2 } },
      ];
      for (const init of wrong) {
        await withSource(anywhere, init, async (source) => {
          const { error } = await failure(source);
          assert(
            error instanceof RangeError,
            `Expected a RangeError, got ${error}`,
          );
          assertEquals(source.readyState, EventSource.CLOSED);
        });
      }
      const init = { fetch: "fetch" as never };
      const thrown = thrownBy(() => new EventSource(anywhere, init));
      assert(thrown instanceof TypeError, "Expected a TypeError for fetch");
    },
  },
];

const theHandlers: Case[] = [
  {
    name: "EventSource's event handlers are null or the assigned object",
    async run() {
      await withSource(anywhere, respondWith(""), (source) => {
        for (const name of ["onopen", "onmessage", "onerror"] as const) {
          assertEquals(source[name], null);
          for (const value of [() => {}, {}, { handleEvent() {} }, []]) {
            source[name] = value as () => void;
            assert(
              source[name] === value,
              `Expected ${name} to be the assigned value`,
            );
          }
          for (const value of [null, undefined, 1, "code()", true]) {
            source[name] = () => {};
            source[name] = value as null;
            assertEquals(source[name], null, name);
          }
        }
      });
    },
  },
  {
    name: "EventSource calls handlers with the event and with itself as `this`",
    async run() {
      const init = respondWith("data: a\n\n");
      const calls: unknown[][] = [];
      await withSource(anywhere, init, async (source, recorder) => {
        for (const name of ["onopen", "onmessage", "onerror"] as const) {
          source[name] = function (this: EventSource, ...args: unknown[]) {
            const event = args[0] as Event;
            calls.push([
              this === source,
              event.target === source,
              args.length,
              event.type,
            ]);
          };
        }
        await recorder.nextLines(3);
      });
      assertEquals(calls, [
        [true, true, 1, "open"],
        [true, true, 1, "message"],
        [true, true, 1, "error"],
      ]);
    },
  },
  {
    name: "EventSource ignores handlers that are not functions",
    async run() {
      const init = respondWith("data: a\n\n");
      await withSource(anywhere, init, async (source, recorder) => {
        let called = false;
        const handler = { handleEvent: () => called = true };
        source.onmessage = handler as never;
        assertEquals(await recorder.nextLines(2), ["open", "message: a"]);
        assertEquals(called, false);
      });
    },
  },
  {
    name:
      "EventSource keeps a handler's place among the listeners until it is null",
    async run() {
      await withSource(anywhere, respondWith(""), (source) => {
        const order: string[] = [];
        const dispatch = () => {
          source.dispatchEvent(new Event("message"));
          return order.splice(0);
        };
        const add = (name: string) => () => void order.push(name);
        source.addEventListener("message", add("first"));
        source.onmessage = add("old");
        source.addEventListener("message", add("second"));
        assertEquals(dispatch(), ["first", "old", "second"]);
        source.onmessage = add("new");
        assertEquals(dispatch(), ["first", "new", "second"]);
        source.onmessage = {} as never;
        assertEquals(dispatch(), ["first", "second"]);
        source.onmessage = add("again");
        assertEquals(dispatch(), ["first", "again", "second"]);
        source.onmessage = null;
        assertEquals(dispatch(), ["first", "second"]);
        source.onmessage = add("last");
        assertEquals(dispatch(), ["first", "second", "last"]);
      });
    },
  },
  {
    name: "EventSource cancels a cancelable event if its handler returns false",
    async run() {
      await withSource(anywhere, respondWith(""), (source) => {
        const dispatch = () =>
          source.dispatchEvent(new Event("error", { cancelable: true }));
        for (const value of [undefined, true, 0, "", null]) {
          source.onerror = () => value;
          assertEquals(dispatch(), true);
        }
        source.onerror = () => false;
        assertEquals(dispatch(), false);
      });
    },
  },
];

const theEvents: Case[] = [
  {
    name:
      "EventSource.readyState changes when the connection opens, ends and fails",
    async run(context) {
      const server = new Stream(context, [
        { body: "data: a\n\n" },
        { status: 404 },
      ]);
      await withSource(server.url, fastReconnect, async (source) => {
        const states = [source.readyState];
        for (const name of ["open", "message", "error", "error"]) {
          await once(source, name);
          states.push(source.readyState);
        }
        assertEquals(states, [0, 1, 1, 0, 2]);
      });
    },
  },
  {
    name:
      "EventSource dispatches its first event in a task, not in a microtask",
    async run() {
      const failing = () => Promise.reject(new Error("cable cut"));
      const late = { reconnect: { initialDelay: 3_600_000 } };
      const inits: [EventSourceInit, string][] = [
        [respondWith("data: a\n\n"), "open"],
        [{ ...late, fetch: failing }, "error: network, connecting"],
        [{ fetch: () => new Response(null, { status: 404 }) }, closed],
        [{ fetch: () => new Response(null, { status: 204 }) }, closed],
      ];
      for (const [init, first] of inits) {
        const source = new EventSource(anywhere, init);
        await microtasks(1000);
        assertEquals(source.readyState, EventSource.CONNECTING);
        assertEquals(await new EventRecorder(source).next(), first);
        source.close();
      }
    },
  },
  {
    name: "EventSource dispatches open as a plain Event",
    async run(context) {
      const server = new Stream(context, [openReply]);
      await withSource(server.url, undefined, async (source) => {
        const event = await once(source, "open");
        assert(event.constructor === Event, "Expected an Event");
        assertEquals([event.bubbles, event.cancelable], [false, false]);
        assert(event.target === source, "Expected the source as the target");
      });
    },
  },
  {
    name: "EventSource dispatches messages as MessageEvents",
    async run(context) {
      const server = new Stream(context, [{
        body: "id: 1\ndata: a\n\nevent: b\ndata: c\n\n",
        then: "hang",
      }]);
      await withSource(server.url, undefined, async (source) => {
        for (const [name, data] of [["message", "a"], ["b", "c"]]) {
          const event = await once(source, name);
          assert(event.constructor === MessageEvent, "Expected a MessageEvent");
          assertEquals(
            [event.type, event.data, event.lastEventId, event.origin],
            [name, data, "1", context.origin],
          );
          assertEquals([event.bubbles, event.cancelable], [false, false]);
          assertEquals(event.source, null);
          assertEquals(event.ports, []);
          assert(event.target === source, "Expected the source as the target");
        }
      });
    },
  },
  {
    name: "EventSource dispatches named events only to listeners for that name",
    async run() {
      const body = "event: a\ndata: 1\n\nevent: A\ndata: 2\n\n" +
        "event: message\ndata: 3\n\n";
      await withSource(anywhere, respondWith(body), async (source) => {
        const recorder = new EventRecorder(source, ["a", "A"]);
        let messages = 0;
        source.onmessage = () => messages++;
        assertEquals(
          await recorder.nextLines(4),
          ["open", "a: 1", "A: 2", "message: 3"],
        );
        assertEquals(messages, 1);
      });
    },
  },
  {
    name:
      "EventSource dispatches messages named open and error under these names",
    async run() {
      const body =
        "event: open\ndata: 1\n\nevent: error\ndata: 2\n\ndata: 3\n\n";
      await withSource(
        anywhere,
        respondWith(body),
        async (source, recorder) => {
          const calls: unknown[] = [];
          source.onopen = ({ type }) => calls.push(type);
          source.onerror = (event) =>
            calls.push([event.type, "error" in event, source.readyState]);
          assertEquals(
            await recorder.nextLines(4),
            ["open", "open: 1", "error: 2", "message: 3"],
          );
          assertEquals(calls, ["open", "open", ["error", false, 1]]);
        },
      );
    },
  },
  {
    name: "EventSource's error events have an error and a message, but no data",
    async run(context) {
      const server = new Stream(context, [{ status: 401, body: "Who?" }]);
      await withSource(server.url, undefined, async (source) => {
        const event = await once(source, "error") as EventSourceErrorEvent;
        const { error, message } = event;
        assert(error instanceof SseError, `Expected an SseError, got ${error}`);
        assertEquals(error.code, "status");
        assertEquals(error.response?.status, 401);
        assertEquals(message, error.message);
        assert(event instanceof Event, "Expected an Event");
        assertEquals([event.bubbles, event.cancelable], [false, false]);
        assertEquals("data" in event, false);
      });
    },
  },
  {
    name: "EventSource's error events have the body of an error response",
    async run(context) {
      const server = new Stream(context, [{ status: 401, body: "Who?" }]);
      await withSource(server.url, undefined, async (source) => {
        const { error } = await once(source, "error") as EventSourceErrorEvent;
        assertEquals((error as SseError).body, "Who?");
      });
    },
  },
  {
    name: "EventSource runs the microtasks of an event before the next event",
    async run() {
      const numbers = Array.from({ length: 50 }, (_, i) => String(i));
      const body = numbers.map((number) => `data: ${number}\n\n`).join("");
      await withSource(anywhere, respondWith(body), async (source) => {
        await once(source, "open");
        for (const number of numbers) {
          await microtasks(1000);
          assertEquals((await once(source, "message")).data, number);
        }
      });
    },
  },
  {
    name: "EventSource reports an error thrown by a listener and continues",
    async run() {
      const init = respondWith("data: 1\n\ndata: 2\n\n");
      const reported = await reportedDuring(() =>
        withSource(anywhere, init, async (source, recorder) => {
          const thrower = (event: Event) => {
            throw new Error(`thrown at ${event.type}`);
          };
          source.onopen = thrower;
          source.onmessage = thrower;
          source.onerror = thrower;
          assertEquals(await recorder.nextLines(5), [
            "open",
            "message: 1",
            "message: 2",
            "error: truncated, connecting",
            "error: status, closed",
          ]);
        })
      );
      assertEquals(reported, [
        "thrown at open",
        "thrown at message",
        "thrown at message",
        "thrown at error",
        "thrown at error",
      ]);
    },
  },
  {
    name: "EventSource.lastEventId and reconnectionTime follow the stream",
    async run() {
      const body =
        "data: 1\n\nid: a\nretry: 5\ndata: 2\n\ndata: 3\n\nid: b\n\n";
      const init = { ...respondWith(body), reconnect: { initialDelay: 4 } };
      await withSource(anywhere, init, async (source) => {
        const seen: unknown[] = [[source.lastEventId, source.reconnectionTime]];
        for (const name of ["message", "message", "message", "error"]) {
          const { lastEventId } = await once(source, name);
          seen.push([lastEventId, source.lastEventId]);
        }
        assertEquals(seen, [
          ["", 4],
          ["", ""],
          ["a", "a"],
          ["a", "b"],
          [undefined, "b"],
        ]);
        assertEquals(source.reconnectionTime, 5);
        await once(source, "error");
        assertEquals(source.readyState, EventSource.CLOSED);
        assertEquals([source.lastEventId, source.reconnectionTime], ["b", 5]);
      });
    },
  },
  {
    name:
      "EventSource events of an in-process `fetch` have the origin of the URL",
    async run() {
      const init: EventSourceInit = {
        method: "POST",
        body: "in process",
        fetch: async (request) =>
          new Response(`data: ${await request.text()}\n\n`, {
            headers: { "content-type": "text/event-stream" },
          }),
      };
      await withSource(anywhere, init, async (source) => {
        const { data, origin } = await once(source, "message");
        assertEquals([data, origin], ["in process", "http://in.process:8080"]);
      });
    },
  },
];

const closing: Case[] = [
  {
    name: "EventSource.close() aborts the request if it is called immediately",
    async run() {
      const requests: Request[] = [];
      const source = new EventSource(anywhere, {
        fetch(request) {
          requests.push(request);
          return respondWith("data: a\n\n").fetch!(request);
        },
      });
      const recorder = new EventRecorder(source);
      source.close();
      assertEquals(source.readyState, EventSource.CLOSED);
      await pause();
      assertEquals(requests.map(({ signal }) => signal.aborted), [true]);
      assertEquals(recorder.unread, []);
      assertEquals(source.readyState, EventSource.CLOSED);
    },
  },
  {
    name: "EventSource.close() aborts the request while connecting",
    async run(context) {
      const server = new Stream(context, [{ silent: true }]);
      const source = new EventSource(server.url);
      const recorder = new EventRecorder(source);
      await server.log({ requests: 1 });
      source.close();
      assertEquals(source.readyState, EventSource.CLOSED);
      await server.log({ disconnects: 1 });
      assertEquals(recorder.unread, []);
    },
  },
  {
    name: "EventSource.close() closes an open connection without an event",
    async run(context) {
      const server = new Stream(context, [openReply]);
      const source = new EventSource(server.url);
      const recorder = new EventRecorder(source);
      assertEquals(await recorder.nextLines(2), ["open", "message: a"]);
      source.close();
      assertEquals(source.readyState, EventSource.CLOSED);
      source.close();
      assertEquals(source.readyState, EventSource.CLOSED);
      await server.log({ disconnects: 1 });
      assertEquals(recorder.unread, []);
    },
  },
  {
    name: "EventSource.close() in an open listener prevents all messages",
    async run(context) {
      const server = new Stream(context, [openReply]);
      const source = new EventSource(server.url);
      const recorder = new EventRecorder(source);
      source.onopen = () => source.close();
      assertEquals(await recorder.next(), "open");
      await server.log({ disconnects: 1 });
      assertEquals(recorder.unread, []);
    },
  },
  {
    name: "EventSource.close() in a message listener prevents the next message",
    async run(context) {
      const server = new Stream(context, [{
        body: "data: 1\n\ndata: 2\n\ndata: 3\n\n",
        then: "hang",
      }]);
      const source = new EventSource(server.url);
      source.onmessage = ({ data }) => data === "2" && source.close();
      const recorder = new EventRecorder(source);
      assertEquals(await recorder.nextLines(3), [
        "open",
        "message: 1",
        "message: 2",
      ]);
      await server.log({ disconnects: 1 });
      assertEquals(recorder.unread, []);
    },
  },
  {
    name:
      "EventSource.close() prevents later events at any microtask after a chunk",
    async run() {
      for (let count = 0; count < 50; count++) {
        let controller!: ReadableStreamDefaultController<Uint8Array>;
        const stream = new ReadableStream<Uint8Array>({
          start: (it) => void (controller = it),
        });
        const source = new EventSource(anywhere, {
          fetch: () =>
            new Response(stream, {
              headers: { "content-type": "text/event-stream" },
            }),
        });
        const recorder = new EventRecorder(source);
        assertEquals(await recorder.next(), "open");
        await pause(0);
        controller.enqueue(new TextEncoder().encode("data: a\n\n"));
        await microtasks(count);
        source.close();
        const before = recorder.unread;
        await pause(0);
        assertEquals(recorder.unread, [], `after ${count} ticks and ${before}`);
      }
    },
  },
  {
    name: "EventSource.close() in an error listener prevents the reconnect",
    async run(context) {
      const server = new Stream(context, [{}]);
      const source = new EventSource(server.url, fastReconnect);
      source.onerror = () => source.close();
      const recorder = new EventRecorder(source);
      // The handler runs before the recorder's listener, so the source is closed.
      assertEquals(await recorder.nextLines(2), [
        "open",
        "error: truncated, closed",
      ]);
      await pause();
      assertEquals(recorder.unread, []);
      assertEquals((await server.log()).requests.length, 1);
    },
  },
  {
    name: "EventSource.close() cancels the delay before the next attempt",
    async run(context) {
      const server = new Stream(context, [{ body: "retry: 3600000\n\n" }]);
      const source = new EventSource(server.url);
      const recorder = new EventRecorder(source);
      assertEquals(await recorder.next(), "open");
      assertEquals(await recorder.next(), "error: truncated, connecting");
      // Lets the delay begin. A remaining timer would keep the process from exiting.
      await pause();
      source.close();
      assertEquals(source.readyState, EventSource.CLOSED);
      assertEquals(recorder.unread, []);
    },
  },
];

const theStreams: Case[] = [
  {
    name: "EventSource.fromReadableStream reads a byte stream",
    async run() {
      const { body } = new Response(
        "retry: 1\nid: 1\ndata: a\n\nevent: b\ndata: c\n\n",
      );
      const source = EventSource.fromReadableStream(body!);
      const recorder = new EventRecorder(source, ["b"]);
      assert(source instanceof EventSource, "Expected an EventSource");
      assertEquals(source.url, "about:event-stream");
      assertEquals(source.withCredentials, false);
      assertEquals(source.readyState, EventSource.CONNECTING);
      assertEquals(await recorder.next(), "open");
      assertEquals(source.readyState, EventSource.OPEN);
      const { data, origin } = await once(source, "message");
      assertEquals([data, origin], ["a", "null"]);
      assertEquals(await recorder.nextLines(3), [
        "message: a #1",
        "b: c #1",
        "error: truncated, closed",
      ]);
      await pause();
      assertEquals(recorder.unread, []);
    },
  },
  {
    name:
      "EventSource.fromReadableStream dispatches one error if the stream fails",
    async run() {
      let controller!: ReadableStreamDefaultController<Uint8Array>;
      const stream = new ReadableStream<Uint8Array>({
        start: (it) => void (controller = it),
      });
      const source = EventSource.fromReadableStream(stream);
      const recorder = new EventRecorder(source);
      controller.enqueue(new TextEncoder().encode("data: a\n\n"));
      assertEquals(await recorder.nextLines(2), ["open", "message: a"]);
      const reason = new Error("broken");
      controller.error(reason);
      const { error } = await failure(source);
      assert(error instanceof SseError, `Expected an SseError, got ${error}`);
      assert(error.cause === reason, "Expected the stream's own error");
      assertEquals(recorder.unread, ["error: network, closed"]);
      await pause();
      assertEquals(recorder.unread, []);
    },
  },
  {
    name:
      "EventSource.fromReadableStream locks the stream and rejects other values",
    run() {
      const stream = new ReadableStream<Uint8Array>();
      const source = EventSource.fromReadableStream(stream);
      assertEquals(stream.locked, true);
      for (const wrong of [stream, {}, null, undefined, "data: a\n\n"]) {
        const thrown = thrownBy(() =>
          EventSource.fromReadableStream(wrong as typeof stream)
        );
        assert(
          thrown instanceof TypeError,
          `Expected a TypeError for ${wrong}`,
        );
      }
      source.close();
    },
  },
  {
    name: "EventSource.close() cancels the stream of fromReadableStream",
    async run() {
      const cancelled = Promise.withResolvers<void>();
      const stream = new ReadableStream<Uint8Array>({
        cancel: () => cancelled.resolve(),
      });
      const source = EventSource.fromReadableStream(stream);
      const recorder = new EventRecorder(source);
      assertEquals(await recorder.next(), "open");
      source.close();
      await cancelled.promise;
      assertEquals(recorder.unread, []);
    },
  },
  {
    name: "EventSource.close() cancels the stream before the open event",
    async run() {
      const cancelled = Promise.withResolvers<void>();
      const stream = new ReadableStream<Uint8Array>({
        cancel: () => cancelled.resolve(),
      });
      EventSource.fromReadableStream(stream).close();
      await cancelled.promise;
    },
  },
  {
    name:
      "EventSource.lastEventId of a stream is that of the newest block, once a pipe has ended",
    async run(context) {
      const { readable, writable } = new TransformStream<Uint8Array>();
      const source = EventSource.fromReadableStream(readable);
      const recorder = new EventRecorder(source);
      assertEquals(source.lastEventId, "");
      const utf8 = new TextEncoder();
      for (let i = 0; i < 20; i++) {
        // Many chunks, and ids that have no event.
        const chunks = ["retry: 7\ndata: a\n\n", `id: ${i}\n`, "\n"];
        const body = streamOf(chunks.map((it) => utf8.encode(it)));
        await body.pipeTo(writable, { preventClose: true });
        if (pipesEarly(context)) await pause();
        assertEquals(source.lastEventId, `${i}`);
      }
      assertEquals(source.reconnectionTime, 7);
      source.close();
      assertEquals(recorder.unread.includes("open"), true);
    },
  },
  {
    name:
      "EventSource.reset() discards the unfinished event, so that another stream can follow",
    async run(context) {
      const { readable, writable } = new TransformStream<Uint8Array>();
      const source = EventSource.fromReadableStream(readable);
      const recorder = new EventRecorder(source);
      const bodies = [
        "id: 1\ndata: a\n\nid: 2\ndata: half",
        "\ufeffid: 3\ndata: b\n\nevent: x\nda",
        "data: c\n\n",
      ];
      for (const body of bodies) {
        const stream = streamOf([new TextEncoder().encode(body)]);
        await stream.pipeTo(writable, { preventClose: true });
        if (pipesEarly(context)) await pause();
        source.reset();
      }
      assertEquals(source.lastEventId, "3");
      await writable.close();
      assertEquals(await recorder.nextLines(5), [
        "open",
        "message: a #1",
        "message: b #3",
        "message: c #3",
        "error: truncated, closed",
      ]);
    },
  },
  {
    name: "EventSource.reset() throws if the source reconnects by itself",
    async run() {
      await withSource(anywhere, respondWith(""), (source) => {
        const error = thrownBy(() => source.reset());
        assert(
          (error as Error).name === "InvalidStateError",
          `Expected an InvalidStateError, got ${error}`,
        );
      });
    },
  },
  {
    name: "EventSource.close() ends a stream whose events are being dispatched",
    async run() {
      const cancelled = Promise.withResolvers<void>();
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(
            new TextEncoder().encode("data: a\n\ndata: b\n\n"),
          );
        },
        cancel: () => cancelled.resolve(),
      });
      const source = EventSource.fromReadableStream(stream);
      const recorder = new EventRecorder(source);
      assertEquals(await recorder.nextLines(2), ["open", "message: a"]);
      source.close();
      await cancelled.promise;
      await pause();
      assertEquals(recorder.unread, []);
    },
  },
  {
    name:
      "EventSource ignores text that belongs to no event stream, and reconnects",
    async run(context) {
      const server = new Stream(context, [
        { body: '{"error":"No"}' },
        { body: "error: 1\n\ndata: a\n\n", then: "hang" },
      ]);
      await withSource(server.url, fastReconnect, async (_, recorder) => {
        assertEquals(await recorder.next(), "open");
        const lines = await recorder.nextLines(3);
        assertEquals(lines.slice(1), ["open", "message: a"]);
        assert(lines[0].startsWith("error: malformed"), lines[0]);
        assert(!lines[0].includes("closed"), lines[0]);
      });
    },
  },
];

export const eventSource: Case[] = [
  ...theClass,
  ...theConstructor,
  ...theHandlers,
  ...theEvents,
  ...closing,
  ...theStreams,
  ...eventSourceConnection,
  ...eventSourceFormat,
];

/**
 * Whether a pipe ends before its last chunk has been read, as in workerd with old
 * compatibility dates.
 */
function pipesEarly({ runtime }: { runtime: string }): boolean {
  return runtime.startsWith("workerd 2024");
}

/** Waits for this many microtasks, one after the other. */
async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

/** Returns the error that the function throws. */
function thrownBy(construct: () => unknown): unknown {
  try {
    construct();
  } catch (error) {
    return error;
  }
}

/** Returns the result of `look` for a source with this `init` of any type. */
async function withSourceOf<T>(
  init: unknown,
  look: (source: EventSource) => T,
): Promise<T> {
  let found!: T;
  await withSource(anywhere, init as EventSourceInit, (source) => {
    found = look(source);
  });
  return found;
}

/** Resolves with the next `error` event of the source. */
async function failure(source: EventSource): Promise<EventSourceErrorEvent> {
  return await once(source, "error") as EventSourceErrorEvent;
}

/** Waits long enough for an unexpected event to be dispatched. */
function pause(ms = 40): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Returns the messages of the errors that listeners throw during `use`. Marks the
 * errors as handled, so that the runtime does not exit.
 */
async function reportedDuring(use: () => Promise<void>): Promise<string[]> {
  const reported = new Set<Error>();
  const onError = (event: Event) => {
    event.preventDefault();
    reported.add((event as ErrorEvent).error);
  };
  const onException = (error: Error) => void reported.add(error);
  // `addEventListener("error")` is standard, but Node and Bun support only
  // `process.on`.
  const { process } = globalThis as unknown as {
    process?: {
      on?(name: string, listener: (error: Error) => void): void;
      off(name: string, listener: (error: Error) => void): void;
    };
  };
  globalThis.addEventListener?.("error", onError);
  process?.on?.("uncaughtException", onException);
  try {
    await use();
    await pause();
  } finally {
    globalThis.removeEventListener?.("error", onError);
    process?.off("uncaughtException", onException);
  }
  return [...reported].map(({ message }) => message);
}
