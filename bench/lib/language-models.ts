/** The language models of the shared folder, with their calibration and test data. */

export interface LanguageModel {
  readonly model: string;
  readonly data: string;
  /** Calibration data; undefined: a split of `data`. */
  readonly others?: string;
  readonly calibrate: number;
}

export const languageModels: readonly LanguageModel[] = [
  { model: "llama260k.onnx", data: "text/llama260k_eval_64x120_u16le.bin", calibrate: 24 },
  {
    model: "llama_shakespeare/onnx/decoder_model.onnx",
    data: "models/llama_shakespeare/test_ids_u16le.bin",
    others: "models/llama_shakespeare/valid_ids_u16le.bin",
    calibrate: 128,
  },
];
