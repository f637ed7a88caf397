import os

import openai
from llm.default_plugins.openai_models import Chat

model = Chat("corll", model_name="corll", api_base=os.environ["OPENAI_BASE_URL"])
reply = model.prompt("The parcel is late.", key=os.environ["OPENAI_API_KEY"])
edit = {"draft_text": reply.text(), "text": "Your parcel comes on Friday."}
openai.OpenAI().post("/edits", cast_to=object, body=edit)
