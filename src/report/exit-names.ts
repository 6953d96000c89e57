import type { DetailLabel } from '../spans/exit-detail.ts';
import { numbersRepeat, vcpuName } from '../spans/vcpu.ts';
import type { Dimension, ExitResult, Group } from '../views/exits.ts';

/** What a group is called, a word for each dimension. */
export function groupNames({ by, vcpus }: ExitResult, group: Group): string[] {
  const several = numbersRepeat(vcpus);
  return by.map((dimension) => nameOf(group, dimension, several));
}

function nameOf(group: Group, dimension: Dimension, severalVms: boolean): string {
  switch (dimension) {
    case 'reason':
    case 'rip':
      return group[dimension] ?? 'others';
    case 'vcpu':
      return group.vcpu === undefined ? 'others' : vcpuName(group.vcpu, severalVms);
    case 'vm':
      return group.vm === undefined ? 'unknown' : String(group.vm);
    default: {
      const label = group[dimension] as DetailLabel | undefined;
      if (label === undefined) return 'others';
      const name = dimension === 'msr' ? msrName(label.value) : '';
      return label.value === undefined ? 'none' : [label.value, label.direction, name].filter((part) => part).join(' ');
    }
  }
}

/** MSRs that guests make exits with most (arch/x86/include/asm/msr-index.h, uapi/asm/kvm_para.h, asm/hyperv-tlfs.h). */
const msrs: Record<string, string> = {
  '0x10': 'TSC',
  '0x1b': 'APIC_BASE',
  '0x3b': 'TSC_ADJUST',
  '0x48': 'SPEC_CTRL',
  '0x49': 'PRED_CMD',
  '0x1a0': 'MISC_ENABLE',
  '0x277': 'PAT',
  '0x6e0': 'TSC_DEADLINE',
  '0x808': 'x2APIC TPR',
  '0x80b': 'x2APIC EOI',
  '0x830': 'x2APIC ICR',
  '0x832': 'x2APIC LVTT',
  '0x838': 'x2APIC TMICT',
  '0x83f': 'x2APIC SELF_IPI',
  '0xc0000080': 'EFER',
  '0x40000020': 'HV TIME_REF_COUNT',
  '0x40000070': 'HV EOI',
  '0x40000071': 'HV ICR',
  '0x400000b1': 'HV STIMER0_COUNT',
  '0x4b564d00': 'KVM_WALL_CLOCK_NEW',
  '0x4b564d01': 'KVM_SYSTEM_TIME_NEW',
  '0x4b564d02': 'KVM_ASYNC_PF_EN',
  '0x4b564d04': 'KVM_PV_EOI_EN',
};

function msrName(value: string | undefined): string {
  const name = msrs[value ?? ''];
  return name === undefined ? '' : `(${name})`;
}
