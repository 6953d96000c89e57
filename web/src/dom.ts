import { escapeText } from '../../src/report/escape.ts';

export type Child = Node | string | number | undefined | null | false;
type Attributes = Record<string, string | number | boolean | undefined | ((event: never) => void)>;

/**
 * An element with attributes (functions are event listeners) and children. Strings become text, never markup, with what could
 * reverse or hide text escaped: traces are written by whoever ran on the machine.
 */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/** The same for SVG. */
export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  fill(element, attributes, children);
  return element;
}

/** Gives an element other children; what had the focus has it again where there is something in its place. */
export function refill(element: Element, ...children: Node[]): void {
  const stops = () => [...element.querySelectorAll<HTMLElement>('a, button, input, select, summary, [tabindex]')];
  const at = stops().indexOf(document.activeElement as HTMLElement);
  element.replaceChildren(...children);
  if (at >= 0) stops()[at]?.focus({ preventScroll: true });
}

/** Brings a part of the page into sight, from its beginning. */
export function scrollTo(element: Element): void {
  element.scrollIntoView({ behavior: 'smooth', block: 'start' });
}

function fill(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value as EventListener);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== undefined && value !== false) element.setAttribute(name, text(value));
  }
  for (const child of children) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : text(child));
  }
}

function text(value: string | number): string {
  return typeof value === 'number' ? String(value) : escapeText(value);
}
