import type { Vcpu } from '../spans/vcpu.ts';
import { columnsOf, type RowJson, rowJson, type Scope } from './columns.ts';

/** The columns that say which vCPU a row is of. */
export const vcpuKeys = <Row, S extends Scope = Scope>(vcpu: (row: Row) => Vcpu) =>
  columnsOf<Row, S>()([
    {
      key: 'vm',
      type: 'number',
      isId: true,
      meaning: "process id of the vCPU's VM",
      of: (row): number | null => vcpu(row).vm ?? null,
    },
    {
      key: 'vcpu',
      type: 'number',
      isId: true,
      meaning: 'number of the vCPU',
      of: (row): number | null => vcpu(row).number ?? null,
    },
    { key: 'tid', type: 'number', isId: true, meaning: 'its thread', of: (row) => vcpu(row).tid },
  ]);

const itself = vcpuKeys<Vcpu>((vcpu) => vcpu);

export type VcpuJson = RowJson<typeof itself>;

export const vcpuJson = (vcpu: Vcpu): VcpuJson => rowJson(itself, vcpu, { unit: 'ns', seconds: Number.NaN });
