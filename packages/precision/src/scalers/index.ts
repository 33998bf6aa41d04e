export { BoundaryGradients, type BoundarySampling, sampleBoundaries } from './boundary-gradients.ts';
export { type Calibration, type CalibrationOptions, calibrateScale } from './calibrate-scale.ts';
export {
  type LossReading,
  type SwingFinding,
  type SwingState,
  startSwings,
  watchSwings,
} from './loss-swings.ts';
export {
  type MonitorFinding,
  type MonitorState,
  monitorScale,
  type ScaleMonitorOptions,
  type ScaleReport,
  startMonitor,
} from './monitor.ts';
export {
  DEEPSPEED_PROFILES,
  SCALE_RULES,
  type ScaleRuleName,
  scaleRule,
  scaleRuleNames,
} from './presets.ts';
