export interface Settings {
  readonly smoke: boolean;
  /** Epochs of fine-tuning. */
  readonly epochs: number;
  readonly threads: number;
}
