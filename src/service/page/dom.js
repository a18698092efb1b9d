// Making elements, and the two lines that speak to the person: the status and the message.

export const $ = (id) => document.getElementById(id);

/** An element with properties (or attributes, where there is no such property) and children; null children are left out. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export function button(name, act, properties = {}) {
  const made = element('button', { type: 'button', className: 'button', ...properties }, name);
  made.addEventListener('click', act);
  return made;
}

export const unseen = (text) => element('span', { className: 'unseen' }, text);

/** What is going on, for eyes and screen readers alike. */
export const say = (text) => ($('status').textContent = text);

let again = null; // what the button Retry does

/** What went wrong: stays until it is dismissed or something else is shown. `retry` tries again, where that may help. */
export function complain(text, retry = null) {
  again = retry;
  $('message-text').textContent = text;
  $('retry').hidden = !retry;
  $('message').hidden = false;
}

export const calm = () => ($('message').hidden = true);

export function setUpMessage() {
  $('dismiss').addEventListener('click', calm);
  $('retry').addEventListener('click', () => {
    calm();
    again();
  });
}

export const count = (number, noun, plural = `${noun}s`) =>
  `${number.toLocaleString('en')} ${number === 1 ? noun : plural}`;

/** A key as text that may go on in the next line after a slash. */
export const breakable = (key) => key.split(/(?<=\/)/).flatMap((part, i) => (i ? [element('wbr'), part] : [part]));

/** Have keys, as `KeyboardEvent.key` names them, do something; all others are left alone. */
export function onKeys(target, keys, isMeant = () => true) {
  target.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !isMeant(event)) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!Object.hasOwn(keys, name)) return;
    event.preventDefault();
    keys[name](event);
  });
}
