// Started by probeMachine, so that a LibTorch that crashes takes this process and not the doctor.
import { MezzoError } from './errors.ts';
import { loadAddon } from './load.ts';
import { type Native, native } from './native.ts';
import type { LoadReport, MachineProbe } from './probe.ts';

function ask(bridge: Native, name: string): boolean | null {
  if (!bridge.opNames().includes(name)) return null;
  return bridge.call(bridge.lookup(name, '').id, 0) === true;
}

function report(): LoadReport {
  const { cuda } = loadAddon();
  const bridge = native();
  return {
    cpuCapability: bridge.cpuCapability(),
    threads: bridge.getNumThreads(),
    mkldnn: bridge.buildInfo().mkldnn,
    onednnBf16: ask(bridge, 'mkldnn::_is_mkldnn_bf16_supported'),
    onednnFp16: ask(bridge, 'mkldnn::_is_mkldnn_fp16_supported'),
    cudaRefused: cuda.opened ? null : cuda.reason,
    cudaDevices: cuda.opened ? bridge.cudaDeviceCount() : 0,
  };
}

function outcome(): MachineProbe['addon']['load'] {
  try {
    return { report: report() };
  } catch (error) {
    if (!(error instanceof MezzoError)) throw error;
    return { failure: { code: error.code, message: error.message, hint: error.hint } };
  }
}

process.stdout.write(JSON.stringify(outcome()));
