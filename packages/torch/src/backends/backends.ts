import { native } from '@mezzo/libtorch';

/** Switches of the libraries below LibTorch (torch.backends): read and assign, in force at once. */
export const backends = {
  cudnn: {
    /** Try the convolution algorithms on the first call of each shape and keep the fastest. */
    get benchmark(): boolean {
      return native().getFlag('cudnn.benchmark');
    },
    set benchmark(on: boolean) {
      native().setFlag('cudnn.benchmark', on);
    },
    /** Only algorithms that give the same bits in every run. */
    get deterministic(): boolean {
      return native().getFlag('cudnn.deterministic');
    },
    set deterministic(on: boolean) {
      native().setFlag('cudnn.deterministic', on);
    },
    /** fp32 convolutions with 10-bit mantissas on capability 8.0 and later. */
    get allowTf32(): boolean {
      return native().getFlag('cudnn.allowTf32');
    },
    set allowTf32(on: boolean) {
      native().setFlag('cudnn.allowTf32', on);
    },
  },
  cuda: {
    matmul: {
      /** fp32 matrix products with 10-bit mantissas on capability 8.0 and later. */
      get allowTf32(): boolean {
        return native().getFlag('cuda.matmul.allowTf32');
      },
      set allowTf32(on: boolean) {
        native().setFlag('cuda.matmul.allowTf32', on);
      },
    },
  },
  mkldnn: {
    /** Whether LibTorch was built with oneDNN. */
    isAvailable: (): boolean => native().buildInfo().mkldnn,
    get enabled(): boolean {
      return native().getFlag('mkldnn.enabled');
    },
    set enabled(on: boolean) {
      native().setFlag('mkldnn.enabled', on);
    },
  },
  mkl: { isAvailable: (): boolean => native().buildInfo().mkl },
  openmp: { isAvailable: (): boolean => native().buildInfo().openmp },
  /** Kernels of Mezzo's own that do the work of several operators at once. */
  fusedKernels: {
    /** Off, as with MEZZO_FUSED_KERNELS=0: the separate operators run, which give the same up to rounding. */
    enabled: process.env.MEZZO_FUSED_KERNELS !== '0',
  },
  cpu: {
    /** 'DEFAULT', 'AVX2', 'AVX512': the vector instructions of LibTorch's own kernels. */
    getCpuCapability: (): string => native().cpuCapability(),
  },
};

/** Makes operations that have only a nondeterministic implementation an error (and the others deterministic). */
export const useDeterministicAlgorithms = (on: boolean): void => native().setFlag('deterministic', on);

export const areDeterministicAlgorithmsEnabled = (): boolean => native().getFlag('deterministic');
