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

/** What goes on, for eyes and screen readers alike. */
export const say = (text) => ($('status').textContent = text);

/** What went wrong: stays until it is dismissed or something else is shown. */
export function complain(text) {
  $('message-text').textContent = text;
  $('message').hidden = false;
}

export const calm = () => ($('message').hidden = true);

export const count = (number, noun, plural = `${noun}s`) =>
  `${number.toLocaleString('en')} ${number === 1 ? noun : plural}`;
