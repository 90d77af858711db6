import { render } from "preact-render-to-string";
import { App } from "./app.tsx";

/** The page before a model is open, as HTML. */
export const startView = render(<App />);
