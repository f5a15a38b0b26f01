import { assert } from "@std/assert";
import { findChromium } from "../runtimes/install.ts";

// Where it is missing on CI, it is installed.
const isRequired = Deno.env.get("CI") === "true" && Deno.build.os === "linux";
const isRun = isRequired || await findChromium() !== undefined;

Deno.test({
  name: "the demo's page in Chromium" +
    (isRun ? "" : " (not run: chromium-headless-shell is not installed)"),
  ignore: !isRun,
  async fn() {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "--allow-all",
        "--no-check",
        "--config=deno.json",
        "page.ts",
      ],
      cwd: import.meta.dirname,
      signal: AbortSignal.timeout(300_000),
    }).spawn().status;
    assert(success, "What has failed is said above");
  },
});
