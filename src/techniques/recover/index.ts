export { imitation } from "../../learn/train/losses/imitation.ts";
export { recover } from "./recover.ts";
