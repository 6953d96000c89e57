// How often each of QEMU's events came, as SystemTap's qemu_count.stp counts its probes.
import { analyzer, counts } from 'virtap/script';

export default analyzer(({ print }) => {
  const events = counts({ by: 'event' });
  return {
    'qemu:*'(_, { event }) {
      events.add(event);
    },
    end() {
      for (const [[event], { count }] of [...events].sort()) print(`${event} = ${count}`);
    },
  };
});
