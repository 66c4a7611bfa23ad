# An Action Cable service without the rest of Rails: what a client says is said back.

require 'action_cable'
require 'json'
require 'logger'
require 'puma'
require 'puma/server'

def tell(event, **fields)
  $stdout.puts(JSON.generate(event: event, **fields))
  $stdout.flush
end

class Connection < ActionCable::Connection::Base
  def connect
    tell('open', id: name)
  end

  def disconnect
    tell('gone', id: name)
  end

  private

  def name
    request.path[/kept|bare/]
  end
end

class EchoChannel < ActionCable::Channel::Base
  def say(data)
    transmit({ 'text' => data['text'] })
  end
end

ActionCable::Server::Base.config.tap do |config|
  config.logger = Logger.new($stderr)
  config.cable = { 'adapter' => 'async' }
  config.connection_class = -> { Connection }
  config.disable_request_forgery_protection = true
end

server = Puma::Server.new(ActionCable.server)
listener = server.add_tcp_listener('127.0.0.1', 0)
server.run
tell('listening', port: listener.addr[1])

# The end of the test closes our stdin, and with it this process.
$stdin.read
exit!
