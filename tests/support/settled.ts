/** Resolves when all promises that wait only for each other have settled. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
