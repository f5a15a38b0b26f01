/**
 * A difference between runtimes.
 *
 * @module
 */

/**
 * Whether the runtime itself calls the property `on…` of an event's target, as
 * workerd does: before all listeners, whenever the property was set.
 */
export const CALLS_HANDLERS = ((): boolean => {
  let isCalled = false;
  const target = new EventTarget();
  Object.assign(target, { onprobe: () => void (isCalled = true) });
  target.dispatchEvent(new Event("probe"));
  return isCalled;
})();
