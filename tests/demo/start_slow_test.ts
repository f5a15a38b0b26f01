import { assertEquals, assertStringIncludes } from "@std/assert";
import { events } from "../../examples/demo/job.ts";
import { slowTest } from "../support/slow_test.ts";
import { run } from "./start.ts";

slowTest(
  "start says what it does and how to get the page, and prints that no event is lost, with --terminal and without a terminal",
  async () => {
    const results = await Promise.all([run("--terminal"), run()]);
    for (const { code, stdout, stderr } of results) {
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      assertEquals(
        stdout.split("\n", 1)[0],
        "Reads a stream and breaks its connection three times. " +
          "To break it yourself on a page: deno task start --page",
      );
      assertStringIncludes(
        stdout,
        `\n${events.length} events over 4 connections: 0 lost, 0 repeated.\n`,
      );
      for (const code of ["network", "idle-timeout", "status"]) {
        assertStringIncludes(stdout, ` ✕ ${code}: Expected `);
      }
      // A line of words starts with a number and may end with the progress.
      const words = stdout.split("\n").flatMap((line) =>
        line.match(/^ *\d+ {2}([^█░]+)/)?.[1].trim().split(" ") ?? []
      );
      assertEquals(
        words,
        events.filter(({ event }) => event === "token").map(({ data }) => data),
      );
    }
  },
);
