import type { EventType } from '../trace/event-type.ts';
import { EventPatterns } from '../views/event-pattern.ts';

/** The events that a name means. */
export type EventNames = {
  takes(type: EventType): boolean;
  /** Whether no type was taken so far. */
  unused(): boolean;
};

/** Events with or without their system, by name or pattern. A guest's events are meant only where the name says so. */
export function eventNames(name: string): EventNames {
  const patterns = new EventPatterns([name]);
  return {
    takes: (type) => patterns.takes(type),
    unused: () => patterns.unused().length > 0,
  };
}
