/** Names of weight files: `model.onnx_data`, `model.onnx_data_1`; `model.onnx_data.<saver>` while a process saves the file. */

export function dataName(model: string, number: number): string {
  return `${model}_data${number === 0 ? "" : `_${number}`}`;
}

interface DataName {
  readonly model: string;
  readonly finalName: string;
  readonly saver: string | undefined;
}

export function parseDataName(name: string): DataName | undefined {
  const [, finalName, model, saver] = /^((.+)_data(?:_\d+)?)(?:\.([0-9a-f]{8}-\d+\.[0-9a-f]{12}))?$/s.exec(name) ?? [];
  return finalName === undefined || model === undefined ? undefined : { model, finalName, saver };
}
