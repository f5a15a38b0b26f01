/**
 * Appends, reads, disconnects and reconnects at random, and compares with a
 * list.
 */
import { assert, assertEquals } from "@std/assert";
import type { SseMessage } from "../../mod.ts";
import { type EventLog, EventLogGapError } from "../../src/event_log/mod.ts";
import { deadline } from "../support/deadline.ts";
import { Random } from "../support/random.ts";
import { scaled } from "../support/scale.ts";
import type { LogStorage } from "./contract.ts";

/** A client and its position in the list. */
interface Client {
  iterator: AsyncIterator<SseMessage>;
  /**
   * The number of messages that it has read or skipped, or -1 if its next
   * message is the oldest one that is kept.
   */
  index: number;
  /** The ID after which it reconnects. */
  lastId: string;
  /** The length of the list when it started at the oldest message. */
  startLength: number;
  /** A pending call of `next`, made at the end of the list. */
  pending?: Promise<IteratorResult<SseMessage>>;
  /** Its index before the last gap: later messages must not be older. */
  minIndex: number;
}

const MAX_MESSAGES = 100;

export async function randomWalk(
  storage: LogStorage,
  steps: number,
): Promise<void> {
  const seed = 1;
  const random = new Random(seed);
  const logs = storage.shared
    ? [storage.log("walk", MAX_MESSAGES), storage.log("walk", MAX_MESSAGES)]
    : [storage.log("walk", MAX_MESSAGES)];
  /** The appended messages with their IDs. */
  const list: { data: string; id: string }[] = [];
  const clients: Client[] = [];
  let [read, gaps] = [0, 0];

  // A shorter walk has no gap.
  const length = Math.max(scaled(steps), 300);
  for (let step = 0; step < length; step++) {
    const context = `seed ${seed}, step ${step}`;
    const log: EventLog = random.pick(logs);
    const choice = random.next();
    if (choice < 0.35) {
      // Sometimes appends so many messages that slow clients miss some.
      const burst = random.chance(0.01)
        ? MAX_MESSAGES + 2 * storage.slack
        : 1 + random.below(3);
      const data = Array.from(
        { length: burst },
        (_, i) => `${list.length + i}`,
      );
      const ids = await Promise.all(data.map((data) => log.append({ data })));
      for (const [i, id] of ids.entries()) list.push({ data: data[i], id });
    } else if (choice < 0.40 || clients.length === 0) {
      clients.push(connect(log));
    } else if (choice < 0.90) {
      await readSome(random.pick(clients), context);
    } else if (choice < 0.95) {
      await disconnect(clients.splice(random.below(clients.length), 1)[0]);
    } else {
      const index = random.below(clients.length);
      const client = clients[index];
      await disconnect(client);
      clients[index] = connect(log, client);
    }
    if (clients.length > 20) await disconnect(clients.shift()!);
  }
  for (const log of logs.slice(0, 1)) await log.end();
  for (const client of clients) {
    while (await readOne(client, "the end"));
    assertEquals(client.index, list.length, "messages read at the end");
  }
  // A walk without gaps, or with hardly any messages read, would prove little.
  assert(
    read > length / 4,
    `${read} messages were read in ${length} steps`,
  );
  assert(gaps > 0, `${gaps} gaps`);

  function connect(log: EventLog, before?: Client): Client {
    const lastId = before?.lastId ?? "";
    return {
      iterator: log.read(lastId)[Symbol.asyncIterator](),
      index: before?.index ?? -1,
      lastId,
      startLength: lastId === "" ? list.length : before!.startLength,
      minIndex: -1,
    };
  }

  async function disconnect(client: Client): Promise<void> {
    await deadline(client.iterator.return!(), "a client's iterator to return");
    // The result of a call that was pending is ignored.
    await client.pending?.catch(() => {});
  }

  /**
   * Reads some messages. At the end of the list, leaves a call of `next`
   * pending.
   */
  async function readSome(client: Client, context: string): Promise<void> {
    for (let i = random.below(8); i >= 0; i--) {
      const atEnd = client.index === list.length ||
        (client.index === -1 && list.length === 0);
      if (atEnd && client.pending === undefined) {
        client.pending = Promise.resolve(client.iterator.next());
        client.pending.catch(() => {});
      }
      if (atEnd) return;
      await readOne(client, context);
    }
  }

  /** Reads a message or a gap. Returns false at the end of the log. */
  async function readOne(client: Client, context: string): Promise<boolean> {
    const call = client.pending ?? Promise.resolve(client.iterator.next());
    client.pending = undefined;
    let result: IteratorResult<SseMessage>;
    try {
      result = await deadline(call, `a message at ${context}`);
    } catch (error) {
      if (!(error instanceof EventLogGapError)) throw error;
      // A gap is an error unless the client missed messages that the log may
      // drop.
      if (client.index === -1) {
        assert(list.length > client.startLength, context);
      } else assert(list.length - client.index >= MAX_MESSAGES, context);
      gaps++;
      // Continues with the oldest message that is kept.
      client.iterator = random.pick(logs).read(error.resumeAfter)
        [Symbol.asyncIterator]();
      client.minIndex = client.index;
      client.startLength = list.length;
      client.index = -1;
      client.lastId = error.resumeAfter;
      return true;
    }
    if (result.done) return false;
    const { data, id } = result.value;
    // The oldest message that is kept determines the index.
    if (client.index === -1) {
      client.index = Number(data);
      // Equal if only the client's last message was dropped. Nothing is missing
      // then, but not every log can detect that.
      assert(
        client.index >= client.minIndex,
        `repeated messages at ${context}`,
      );
    }
    assertEquals({ data, id }, list[client.index], context);
    client.index++;
    client.lastId = id!;
    read++;
    return true;
  }
}
