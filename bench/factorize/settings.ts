export interface Settings {
  readonly smoke: boolean;
  /** Of fine-tuning. */
  readonly epochs: number;
  readonly threads: number;
}
