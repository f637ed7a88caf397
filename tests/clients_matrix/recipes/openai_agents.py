from agents import Agent, Runner, set_tracing_disabled
from openai import OpenAI

set_tracing_disabled(True)  # else traces go to OpenAI
agent = Agent(name="writer", model="corll")  # OPENAI_BASE_URL, OPENAI_API_KEY
result = Runner.run_sync(agent, "The parcel is late.")
edit = {"draft_text": result.final_output, "text": "Your parcel comes on Friday."}
OpenAI().post("/edits", cast_to=object, body=edit)
