// Random sequences of the actions of server and caller. They run in process with a
// fake clock, so that thousands take a second.

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connectSse, type ServerSentEvent } from "../../mod.ts";
import { url } from "../support/in_process.ts";
import { Random } from "../support/random.ts";
import { microtasks } from "../support/microtasks.ts";
import { scaled } from "../support/scale.ts";

const reason = new Error("enough");
const utf8 = new TextEncoder();

/** The stream of one connection. It starts after the client's last event ID. */
interface Stream {
  controller: ReadableStreamDefaultController<Uint8Array>;
  next: number;
}

/** Sends numbered events, and replays them after `Last-Event-ID`. */
class Server {
  /** Streams that were not ended, canceled or aborted. */
  readonly open = new Set<Stream>();
  readonly #random: Random;
  readonly #supportsSignals: boolean;
  /** Set at the end of a walk, so that every request succeeds. */
  faultless = false;

  constructor(random: Random) {
    this.#random = random;
    this.#supportsSignals = random.chance(0.5);
  }

  fetch = async ({ headers, signal }: Request): Promise<Response> => {
    const random = this.#random;
    await microtasks(random.below(8));
    if (!this.faultless) {
      if (random.chance(0.1)) throw new Error("cable cut");
      if (random.chance(0.1)) return new Response("No", { status: 503 });
      if (random.chance(0.02)) await new Promise<never>(() => {});
    }
    const stream = {} as Stream;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        stream.controller = controller;
      },
      cancel: () => void this.open.delete(stream),
    });
    stream.next = Number(headers.get("last-event-id") ?? -1) + 1;
    this.open.add(stream);
    if (this.#supportsSignals) {
      const fail = () => this.fail(stream, signal.reason);
      if (signal.aborted) fail();
      else signal.addEventListener("abort", fail);
    }
    return new Response(body, {
      headers: { "content-type": "text/event-stream" },
    });
  };

  send(stream: Stream): void {
    const random = this.#random;
    let text = "";
    for (let i = random.below(4); i > 0; i--) {
      const number = stream.next++;
      text += `id: ${number}\ndata: ${number}\n\n`;
      if (random.chance(0.2)) text += ": comment\n\n";
    }
    stream.controller.enqueue(utf8.encode(text));
  }

  end(stream: Stream): void {
    this.#sendUnfinished(stream);
    this.open.delete(stream);
    stream.controller.close();
  }

  fail(stream: Stream, error: unknown): void {
    this.open.delete(stream);
    stream.controller.error(error);
  }

  /**
   * Sometimes sends an unfinished event, of which neither the data nor the ID may
   * be used.
   */
  #sendUnfinished(stream: Stream): void {
    if (this.#random.chance(0.5)) return;
    stream.controller.enqueue(utf8.encode("id: 9999\ndata: unfinis"));
  }
}

type Outcome = { value?: IteratorResult<ServerSentEvent>; reason?: unknown };

async function walk(seed: number, time: FakeTime): Promise<void> {
  const random = new Random(seed);
  const where = `in the walk with seed ${seed}`;
  const server = new Server(random);
  const controller = new AbortController();
  const connected = connectSse(url, {
    fetch: server.fetch,
    signal: controller.signal,
    idleTimeout: random.pick([undefined, 20]),
    connectTimeout: 20,
    reconnect: {
      initialDelay: random.below(3),
      maxDelay: 3,
      shouldReconnect: random.pick([
        undefined,
        () => undefined,
        () => microtasks(random.below(5)).then(() => true),
      ]),
      onReconnect: random.pick([
        undefined,
        () => microtasks(random.below(5)),
        () => {
          if (random.chance(0.3)) sse?.reconnect();
        },
      ]),
    },
    onComment: () => {
      if (random.chance(0.3)) sse?.reconnect();
    },
  });
  let sse: Awaited<typeof connected> | undefined;
  connected.then((it) => sse = it, () => {});
  for (let i = 0; sse === undefined; i++) {
    assert(i < 1000, where);
    await microtasks(20);
    time.tick(1);
  }
  const connection = sse;

  const outcomes: Promise<Outcome>[] = [];
  const callNext = () =>
    outcomes.push(
      connection.next().then((value) => ({ value }), (reason) => ({ reason })),
    );
  const steps: (() => unknown)[] = [
    callNext,
    callNext,
    () => microtasks(random.below(12)),
    () => microtasks(random.below(12)),
    () => time.tick(random.below(5)),
    () => {
      if (random.chance(0.3)) connection.reconnect();
    },
    () => {
      for (const stream of server.open) server.send(stream);
    },
    () => {
      for (const stream of server.open) {
        if (random.chance(0.5)) server.send(stream);
        const action = random.pick(["stays", "ends", "fails"]);
        if (action === "ends") server.end(stream);
        if (action === "fails") server.fail(stream, new Error("cut"));
      }
    },
  ];
  for (let i = 20 + random.below(60); i > 0; i--) await random.pick(steps)();

  // Ends the stream, either at once or when all calls have been answered.
  const aborts = random.chance(0.3);
  if (random.chance(0.5)) {
    server.faultless = true;
    const all = Promise.all(outcomes).then(() => true);
    for (let i = 0; !await Promise.race([all, microtasks(100)]); i++) {
      assert(i < 1000, `next() is still pending ${where}`);
      time.tick(1);
      for (const stream of server.open) server.send(stream);
    }
    // A connection that `reconnect()` replaced may not be canceled yet.
    await microtasks(100);
    assert(server.open.size <= 1, `More than one connection is open ${where}`);
  }
  callNext();
  if (aborts) controller.abort(reason);
  else await connection.close();
  callNext();
  await microtasks(200);

  assertEquals(server.open.size, 0, `Connections are open ${where}`);
  assertEquals(time.next(), false, `A timer is active ${where}`);
  let expected = 0;
  let ended = false;
  for (const { value, reason: error } of await Promise.all(outcomes)) {
    if (error !== undefined) {
      assertEquals([error, ended, aborts], [reason, false, true], where);
      ended = true;
    } else if (value!.done) {
      assert(ended || !aborts, where);
      ended = true;
    } else {
      assertEquals([ended, value!.value.data], [false, `${expected++}`], where);
    }
  }
  assert(ended, where);
}

Deno.test("SseConnection returns each event once and leaks nothing in random sequences of server and caller actions", async () => {
  using time = new FakeTime();
  for (let seed = 1; seed <= scaled(2000); seed++) await walk(seed, time);
});
