/** Returns a function that returns the number of listeners on the target. */
export function countListeners(target: EventTarget): () => number {
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = target;
  target.addEventListener = (...args) => {
    listeners.add(args[1]);
    addEventListener.apply(target, args);
  };
  target.removeEventListener = (...args) => {
    listeners.delete(args[1]);
    removeEventListener.apply(target, args);
  };
  return () => listeners.size;
}
