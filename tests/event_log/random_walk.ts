/** Appends, reads, drops and reconnects at random, against a list. */
import { assert, assertEquals } from "@std/assert";
import type { SseMessage } from "../../mod.ts";
import { type EventLog, EventLogGapError } from "../../src/event_log/mod.ts";
import { deadline } from "../support/deadline.ts";
import { Random } from "../support/random.ts";
import { scaled } from "../support/scale.ts";
import type { Place } from "./contract.ts";

/** A client, and how far it has got in the list. */
interface Client {
  iterator: AsyncIterator<SseMessage>;
  /** How many messages of the list it has had, or been told it would miss. */
  index: number;
  /** The id after which it would connect again. */
  lastId: string;
  /** How many messages the list had when it was to begin at the oldest one. */
  since: number;
  /** A call of `next` that has not been answered, as nothing followed. */
  pending?: Promise<IteratorResult<SseMessage>>;
  /** Where it was before it was told of a gap: what follows is newer. */
  least: number;
}

const MAX_MESSAGES = 100;

export async function randomWalk(place: Place, steps: number): Promise<void> {
  const seed = 1;
  const random = new Random(seed);
  const logs = place.shared
    ? [place.log("walk", MAX_MESSAGES), place.log("walk", MAX_MESSAGES)]
    : [place.log("walk", MAX_MESSAGES)];
  /** What was appended, with the ids that were given. */
  const list: { data: string; id: string }[] = [];
  const clients: Client[] = [];
  let [read, gaps] = [0, 0];

  for (let step = 0; step < scaled(steps); step++) {
    const what = `seed ${seed}, step ${step}`;
    const log: EventLog = random.pick(logs);
    const choice = random.next();
    if (choice < 0.35) {
      // Now and then so many that slow clients miss some.
      const burst = random.chance(0.01)
        ? MAX_MESSAGES + 2 * place.slack
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
      await readSome(random.pick(clients), what);
    } else if (choice < 0.95) {
      await drop(clients.splice(random.below(clients.length), 1)[0]);
    } else {
      const index = random.below(clients.length);
      const client = clients[index];
      await drop(client);
      clients[index] = connect(log, client);
    }
    if (clients.length > 20) await drop(clients.shift()!);
  }
  for (const log of logs.slice(0, 1)) await log.end();
  for (const client of clients) {
    while (await readOne(client, "the end"));
    assertEquals(client.index, list.length, "what was read in the end");
  }
  // Were there no gap, or nothing but gaps, it would say little.
  assert(
    read > scaled(steps) / 4,
    `${read} messages were read in ${steps} steps`,
  );
  assert(gaps > 0, `${gaps} gaps`);

  function connect(log: EventLog, before?: Client): Client {
    const lastId = before?.lastId ?? "";
    return {
      iterator: log.read(lastId)[Symbol.asyncIterator](),
      index: before?.index ?? -1,
      lastId,
      since: lastId === "" ? list.length : before!.since,
      least: -1,
    };
  }

  async function drop(client: Client): Promise<void> {
    await deadline(client.iterator.return!(), "a client to leave");
    // What it was given then, nobody has seen.
    await client.pending?.catch(() => {});
  }

  /** Reads up to some messages, and perhaps waits for one there is not yet. */
  async function readSome(client: Client, what: string): Promise<void> {
    for (let i = random.below(8); i >= 0; i--) {
      const atEnd = client.index === list.length ||
        (client.index === -1 && list.length === 0);
      if (atEnd && client.pending === undefined) {
        client.pending = Promise.resolve(client.iterator.next());
        client.pending.catch(() => {});
      }
      if (atEnd) return;
      await readOne(client, what);
    }
  }

  /** Reads a message; false for the end. */
  async function readOne(client: Client, what: string): Promise<boolean> {
    const call = client.pending ?? Promise.resolve(client.iterator.next());
    client.pending = undefined;
    let result: IteratorResult<SseMessage>;
    try {
      result = await deadline(call, `a message at ${what}`);
    } catch (error) {
      if (!(error instanceof EventLogGapError)) throw error;
      // Nothing that the log is to keep was missing.
      if (client.index === -1) assert(list.length > client.since, what);
      else assert(list.length - client.index >= MAX_MESSAGES, what);
      gaps++;
      // Told that it misses some, it goes on with what is kept.
      client.iterator = random.pick(logs).read(error.resumeAfter)
        [Symbol.asyncIterator]();
      client.least = client.index;
      client.since = list.length;
      client.index = -1;
      client.lastId = error.resumeAfter;
      return true;
    }
    if (result.done) return false;
    const { data, id } = result.value;
    // The oldest that is kept, whichever that is.
    if (client.index === -1) {
      client.index = Number(data);
      // Nothing is missing where just the message before was dropped, which not
      // every log can tell.
      assert(client.index >= client.least, `messages again at ${what}`);
    }
    assertEquals({ data, id }, list[client.index], what);
    client.index++;
    client.lastId = id!;
    read++;
    return true;
  }
}
