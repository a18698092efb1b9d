// Lists that go on: a button gives the next part, and presses itself when one scrolls down to it.

import { complain } from './dom.js';

const AHEAD = 400; // pixels before the button comes into sight

const watching = new WeakMap(); // button → what stops watching it

/**
 * Let a list go on by a button. `load` shows the next part and says whether there is more; it is not called any more once
 * `signal` is aborted. A button that is in sight from the start waits to be pressed.
 */
export function goOn(button, load, signal) {
  watching.get(button)?.();
  button.hidden = false;
  let [busy, inSight] = [false, true];
  const next = async () => {
    if (busy || signal.aborted) return;
    busy = true;
    button.setAttribute('aria-busy', 'true');
    try {
      button.hidden = !(await load());
    } catch (error) {
      if (!signal.aborted) complain(error.message);
    }
    button.removeAttribute('aria-busy');
    busy = false;
  };
  const observer = new IntersectionObserver((entries) => {
    const now = entries.at(-1).isIntersecting;
    if (now && !inSight) next();
    inSight = now;
  }, { rootMargin: `0px 0px ${AHEAD}px` });
  observer.observe(button);
  button.addEventListener('click', next);
  watching.set(button, () => {
    observer.disconnect();
    button.removeEventListener('click', next);
  });
}

export function stop(button) {
  watching.get(button)?.();
  button.hidden = true;
}
