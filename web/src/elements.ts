/** The page's elements, found once and held to their kind. */

/** The element with an id. */
export function element<E extends HTMLElement>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`);
  return found;
}

/** The first element below another that a selector names. */
export function within<E extends HTMLElement = HTMLElement>(parent: HTMLElement, selector: string): E {
  const found = parent.querySelector<E>(selector);
  if (!found) throw new Error(`index.html has no ${selector} below #${parent.id}`);
  return found;
}

/** A new element with text in it. */
export function made<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
): HTMLElementTagNameMap[K] {
  const found = document.createElement(tag);
  found.className = className;
  found.textContent = text;
  return found;
}
