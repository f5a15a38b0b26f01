/** Tests `SqlEventLog` in Durable Objects, in workerd. */
import { assert, assertEquals } from "@std/assert";
import { connectSse } from "../../mod.ts";
import { deadline } from "../support/deadline.ts";
import { slowTest } from "../support/slow_test.ts";
import { temporaryDirectory } from "../support/temporary_directory.ts";
import { bundleWorker, startWorkerd } from "../support/workerd.ts";

const root = new URL("../../", import.meta.url).pathname;

slowTest(
  "SqlEventLog passes the contract of event logs in a Durable Object",
  async () => {
    await using directory = await temporaryDirectory();
    const options = {
      directory: directory.path,
      path: `${root}tests/event_log/durable_object_worker.ts`,
      className: "Test",
      binding: "TESTS",
    };
    await bundleWorker(options);
    await using worker = await startWorkerd(options);
    const names: string[] = await (await fetch(worker.url)).json();
    assert(names.length > 40);
    const failed: string[] = [];
    for (const [i, name] of names.entries()) {
      const response = await deadline(fetch(`${worker.url}${i}`), name, 60);
      const error = await response.text();
      if (response.status !== 204) failed.push(`${name}: ${error}`);
    }
    assertEquals(failed, []);

    // With a heartbeat, it notices that the client of a silent stream has left.
    const sse = await connectSse(`${worker.url}stream`);
    const left = fetch(`${worker.url}left`);
    await sse.close();
    const response = await deadline(left, "the client to have left");
    assertEquals(await response.text(), "left");
  },
);

slowTest(
  "examples/durable_object.ts keeps a chat in each Durable Object, also across a restart",
  async () => {
    await using directory = await temporaryDirectory();
    const options = {
      directory: directory.path,
      path: `${root}examples/durable_object.ts`,
      className: "Chat",
      binding: "CHATS",
    };
    await bundleWorker(options);
    let lastEventId: string;
    let path: string;
    {
      await using worker = await startWorkerd(options);
      const create = async () => {
        const response = await fetch(worker.url, { method: "POST" });
        assertEquals([response.status, await response.text()], [201, ""]);
        return new URL(response.headers.get("Location")!, worker.url);
      };
      const [chat, other] = [await create(), await create()];
      path = chat.pathname;
      const post = async (url: URL, body: string) => {
        const response = await fetch(url, { method: "POST", body });
        assertEquals([response.status, await response.text()], [204, ""]);
      };
      const leaving = await connectSse(chat);
      await using staying = await connectSse(chat);
      await using beside = await connectSse(other);
      await post(chat, "1");
      for (const sse of [leaving, staying]) {
        const { value } = await deadline(sse.next(), "a message");
        assertEquals(value?.data, "1");
      }
      // A client that leaves does not end the streams of others.
      await leaving.close();
      await post(other, "other");
      await post(chat, "2");
      const { value } = await deadline(staying.next(), "a message");
      assertEquals(value?.data, "2");
      lastEventId = value!.id;
      const own = await deadline(beside.next(), "a message");
      assertEquals(own.value?.data, "other");
      await post(chat, "3");
      // A stream would run on, as Workers never cancel it.
      const head = await fetch(chat, { method: "HEAD" });
      assertEquals([head.status, head.headers.get("Content-Type")], [
        200,
        null,
      ]);
      for (const unknown of ["unknown", "0".repeat(64)]) {
        const response = await fetch(new URL(unknown, worker.url));
        assertEquals([response.status, await response.text()], [404, ""]);
      }
    }
    await using worker = await startWorkerd(options);
    await using sse = await connectSse(new URL(path, worker.url), {
      lastEventId,
    });
    const { value } = await deadline(sse.next(), "a message");
    assertEquals(value?.data, "3");
  },
);
