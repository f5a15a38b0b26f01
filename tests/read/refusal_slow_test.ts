import { assertEquals } from "@std/assert";
import { HttpServer } from "../support/http_server.ts";
import { OpenResponse } from "../support/open_response.ts";
import { runScript } from "../support/run_script.ts";
import { slowTest } from "../support/slow_test.ts";

slowTest(
  "Refused responses in a loop that closes none of them use up no sockets",
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
    // The body goes on, so that each round takes the second that one waits.
    for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 40 }, round));
  `,
      100,
    );
    assertEquals(server.requests.length, 160);
  },
);
