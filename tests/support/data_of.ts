import type { SseConnection } from "../../mod.ts";
import { deadline } from "./deadline.ts";

/** Returns the data of the next events. Rejects if an event takes too long. */
export async function dataOf(
  sse: SseConnection,
  count: number,
): Promise<string[]> {
  const data: string[] = [];
  while (data.length < count) {
    const { value } = await deadline(sse.next(), "an event");
    data.push(value!.data);
  }
  return data;
}

/** Returns the data of all remaining events. */
export function allData(sse: SseConnection): Promise<string[]> {
  return Array.fromAsync(sse, ({ data }) => data);
}
