export { CosineAnnealingLR } from './cosine-annealing.ts';
export { ExponentialLR, MultiStepLR, StepLR } from './decay.ts';
export { LambdaLR, type LrLambda, MultiplicativeLR } from './lambda.ts';
export { LinearLR, type LinearLROptions } from './linear.ts';
export { OneCycleLR, type OneCycleLROptions } from './one-cycle.ts';
export { type PlateauState, ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './plateau.ts';
export { LRScheduler, type PerGroup, type SchedulerState } from './scheduler.ts';
export { SequentialLR } from './sequential.ts';
