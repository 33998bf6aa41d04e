import { ConfigError } from '../config/index.ts';

/** Formats that Mezzo writes. */
export const WRITTEN_FORMATS = ['onnx', 'safetensors'] as const;
export type WrittenFormat = (typeof WRITTEN_FORMATS)[number];

const TENSORFLOW = 'pip install onnx2tf tensorflow && onnx2tf -i MODEL.onnx -o MODEL_tf';
const FROM_TORCH = 'pip install onnx2torch torch';
const torchScript = `torch.jit.trace(onnx2torch.convert('MODEL.onnx').eval(), torch.zeros(SHAPE))`;

/** The command that makes another format from the fp32 ONNX file; MODEL and SHAPE stand for its name and input shape. */
const MAKERS: Readonly<Record<string, string>> = {
  engine: 'trtexec --onnx=MODEL.onnx --saveEngine=MODEL.engine',
  openvino: 'pip install openvino && ovc MODEL.onnx --output_model MODEL_openvino/MODEL.xml',
  coreml:
    `${FROM_TORCH} coremltools && python3 -c "import torch, onnx2torch, coremltools as ct; ` +
    `ct.convert(${torchScript}, inputs=[ct.TensorType(name='images', shape=SHAPE)]).save('MODEL.mlpackage')"`,
  torchscript: `${FROM_TORCH} && python3 -c "import torch, onnx2torch; ${torchScript}.save('MODEL.torchscript')"`,
  tflite: TENSORFLOW,
  saved_model: TENSORFLOW,
  pb: `${TENSORFLOW} -otfv1pb`,
  edgetpu: `${TENSORFLOW} -oiqt && edgetpu_compiler MODEL_tf/MODEL_full_integer_quant.tflite`,
  tfjs: `${TENSORFLOW} -osd && pip install tensorflowjs && tensorflowjs_converter --input_format=tf_saved_model MODEL_tf MODEL_web`,
  ncnn: 'pip install pnnx && pnnx MODEL.onnx',
  mnn: 'pip install MNN && mnnconvert -f ONNX --modelFile MODEL.onnx --MNNModel MODEL.mnn --bizCode MODEL',
  paddle: 'pip install x2paddle && x2paddle --framework=onnx --model=MODEL.onnx --save_dir=MODEL_paddle',
  rknn:
    `pip install rknn-toolkit2 && python3 -c "from rknn.api import RKNN; r = RKNN(); r.config(target_platform='rk3588'); ` +
    `r.load_onnx(model='MODEL.onnx'); r.build(do_quantization=False); r.export_rknn('MODEL.rknn')"`,
};

/** Other names of formats. */
const SAME: Readonly<Record<string, string>> = {
  tensorrt: 'engine',
  trt: 'engine',
  mlmodel: 'coreml',
  mlpackage: 'coreml',
  xml: 'openvino',
  ts: 'torchscript',
  tensorflow: 'saved_model',
};

export const FORMAT_NAMES: readonly string[] = [...WRITTEN_FORMATS, ...Object.keys(MAKERS)];

/**
 * The format to write.
 * @throws {ConfigError} UNSUPPORTED_OPTION with the commands that make it, for a format that other programs make of ONNX
 * @throws {ConfigError} BAD_OPTION for any other word
 */
export function writtenFormat(
  format: string,
  of: { model: string; stem: string; shape: readonly number[] },
): WrittenFormat {
  const name = format.toLowerCase();
  const written = WRITTEN_FORMATS.find((known) => known === name);
  if (written !== undefined) return written;
  const maker = MAKERS[SAME[name] ?? name];
  if (maker === undefined) {
    throw new ConfigError('BAD_OPTION', `format=${format}: no such format`, {
      option: 'format',
      hint: `formats: ${FORMAT_NAMES.join(', ')}`,
    });
  }
  const command = maker.replaceAll('MODEL', () => of.stem).replaceAll('SHAPE', `(${of.shape.join(', ')})`);
  throw new ConfigError(
    'UNSUPPORTED_OPTION',
    `format=${format} is made by another program, from an fp32 ONNX file`,
    {
      option: 'format',
      hint: `mezzo export model=${of.model} format=onnx imgsz=${of.shape.at(-1)} out=${of.stem}.onnx && ${command}`,
    },
  );
}
