/**
 * Names of the weight files of models: `model.onnx_data`, or `model.onnx_data_1` and so on for further or taken names. While a file is
 * being saved, it is called `model.onnx_data.<saver>`, where the saver is a process (`processSuffix`).
 */

export function dataName(model: string, number: number): string {
  return `${model}_data${number === 0 ? "" : `_${number}`}`;
}

interface DataName {
  readonly model: string;
  readonly finalName: string;
  /** The process that is saving the file; undefined for a finished file. */
  readonly saver: string | undefined;
}

export function parseDataName(name: string): DataName | undefined {
  const [, finalName, model, saver] = /^((.+)_data(?:_\d+)?)(?:\.([0-9a-f]{8}-\d+\.[0-9a-f]{12}))?$/s.exec(name) ?? [];
  return finalName === undefined || model === undefined ? undefined : { model, finalName, saver };
}
