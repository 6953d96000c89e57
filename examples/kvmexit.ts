// How often each thread left the guest, and why: bcc's kvmexit.
import { analyzer, counts } from 'virtap/script';

export default analyzer(({ print, args: [only] }) => {
  const exits = counts({ by: ['PID', 'TID', 'KVM_EXIT_REASON'] });
  return {
    kvm_exit({ reason }, { pid, tid }) {
      if (only === undefined || only === String(pid)) exits.add(pid, tid, reason);
    },
    end() {
      print(exits);
    },
  };
});
