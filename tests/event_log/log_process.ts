/**
 * A separate process that uses a log: `log_process.ts redis PORT KEY …` or
 * `log_process.ts kv PATH KEY …`, followed by `append NAME COUNT` or by `read`,
 * which prints the data of each message on a line.
 */
import { openLog } from "./open_log.ts";

const [kind, address, key, action, name, count] = Deno.args;

const log = await openLog(kind, address, key);
console.log("ready");
if (action === "append") {
  for (let n = 0; n < Number(count); n++) {
    await log.append({ json: { name, n } });
  }
} else {
  for await (const { data } of log.read("")) console.log(data);
}
Deno.exit();
