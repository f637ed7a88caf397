from openai import OpenAI
from pydantic_ai import Agent

agent = Agent("openai:corll")  # OPENAI_BASE_URL, OPENAI_API_KEY
result = agent.run_sync("The parcel is late.")
edit = {"draft_text": result.output, "text": "Your parcel comes on Friday."}
OpenAI().post("/edits", cast_to=object, body=edit)
