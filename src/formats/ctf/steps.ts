import { type Node, strideOf } from './nodes.ts';
import type { Step } from './scan.ts';

/** What follows each other in events of this class, by bytes; undefined where it is not so simple. `name` is the name of the event's thread. */
export function stepsOf(root: Node, little: boolean, name: Node | undefined): readonly Step[] | undefined {
  const steps: Step[] = [];
  /** The length that was read last. */
  let length: Node | undefined;
  const pass = (size: number) => {
    const last = steps.at(-1);
    if (last?.kind === 'bytes') last.size += size;
    else steps.push({ kind: 'bytes', size });
  };
  const add = (node: Node): boolean => {
    if (node.align > 8) return false;
    if (node.size >= 0 && !node.watched) {
      pass(node.size / 8);
      return node.size % 8 === 0;
    }
    switch (node.kind) {
      case 'int':
        if (node.role !== undefined || node.signed || node.little !== little || ![8, 16, 32].includes(node.size))
          return false;
        steps.push({ kind: 'length', size: node.size / 8 });
        length = node;
        return true;
      case 'string':
        steps.push({ kind: node === name ? 'name' : 'text' });
        return node.unit === 1;
      case 'struct':
      case 'root':
        return node.children.every(add);
      case 'array': {
        const [element] = node.children;
        if (element === undefined || node.by === undefined || node.by !== length) return false;
        if (element.size < 8 || element.size % 8 !== 0 || element.watched || strideOf(element) !== element.size)
          return false;
        steps.push({ kind: 'elements', size: element.size / 8 });
        return element.align <= 8;
      }
      default:
        return false;
    }
  };
  return add(root) ? steps : undefined;
}
