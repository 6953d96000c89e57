// How often the guest read and wrote each I/O port: SystemTap's qemu_io.stp, and the same of a KVM host's trace.
import { analyzer, counts } from 'virtap/script';

export default analyzer(({ print }) => {
  const read = counts({ by: 'port' });
  const written = counts({ by: 'port' });
  const list = (ports: typeof read) => {
    print('  port    count');
    for (const [[port], { count }] of [...ports].sort(([[a]], [[b]]) => Number(a) - Number(b))) {
      print(`0x${Number(port).toString(16).padStart(4, '0')} ${String(count).padStart(8)}`);
    }
  };
  return {
    // QEMU does these itself where the guest runs under TCG; under KVM they are exits.
    'qemu:cpu_in'({ addr }) {
      read.add(addr);
    },
    'qemu:cpu_out'({ addr }) {
      written.add(addr);
    },
    kvm_pio({ rw, port }) {
      (rw === 0 ? read : written).add(port);
    },
    end() {
      print('cpu_in');
      list(read);
      print('\ncpu_out');
      list(written);
    },
  };
});
