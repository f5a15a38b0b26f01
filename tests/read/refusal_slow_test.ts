import { assertEquals } from "@std/assert";
import { HttpServer } from "../support/http_server.ts";
import { OpenResponse } from "../support/open_response.ts";
import { runScript } from "../support/run_script.ts";
import { slowTest } from "../support/slow_test.ts";

slowTest(
  "connectSse leaks no sockets if a loop never closes its error responses",
  async () => {
    await using server = new HttpServer(() =>
      new Response(new OpenResponse("Who are you?").response.body, {
        status: 401,
      })
    );
    await runScript(
      `
    import { connectSse } from ${
        JSON.stringify(import.meta.resolve("../../mod.ts"))
      };
    const url = ${JSON.stringify(server.url)};
    const round = async () => {
      try {
        for await (const _ of await connectSse(url));
      } catch ({ code, cause }) {
        if (code !== "status") throw cause;
      }
    };
    // The body never ends, so each round takes the full second of the limit.
    for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 40 }, round));
  `,
      100,
    );
    assertEquals(server.requests.length, 160);
  },
);
