"""What one would write in ten minutes: a transformers pipeline behind plain FastAPI."""

import sys

import transformers
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from textdetect.model.checkpoint import find_folder

app = FastAPI()
classify = transformers.pipeline("text-classification", model=str(find_folder("default")))


class Asked(BaseModel):
    inputs: str


@app.post("/predict")
def predict(asked: Asked) -> list[dict[str, object]]:
    return list(classify(asked.inputs, truncation=True, max_length=256))


@app.get("/health/ready")
def ready() -> str:
    return "ok"


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
