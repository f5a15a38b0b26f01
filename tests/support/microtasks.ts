/** Waits for this many microtasks, one after the other. */
export async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}
