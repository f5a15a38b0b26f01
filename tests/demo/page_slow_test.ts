import { assert } from "@std/assert";
import { findChromium } from "../runtimes/install.ts";
import { notRunFor } from "../support/not_run.ts";
import { slowTest } from "../support/slow_test.ts";

slowTest(
  "the demo's page passes its tests in Chromium",
  async () => {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "--allow-all",
        "--no-check",
        "page.ts",
      ],
      cwd: import.meta.dirname,
      signal: AbortSignal.timeout(300_000),
    }).spawn().status;
    assert(success, "See the failures above");
  },
  notRunFor(
    "Tests of the demo's page",
    await findChromium() === undefined
      ? "chromium-headless-shell is not installed"
      : undefined,
  ),
);
