require "rails"
require "action_controller/railtie"
require "action_view/railtie"

# A guest book of a few pages, without a database: entries are in the visitor's session, which is a signed cookie.
class GuestBook < Rails::Application
  config.load_defaults 6.1
  config.root = File.expand_path("..", __dir__)
  config.eager_load = true
  config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")
  config.logger = ActiveSupport::Logger.new($stdout)
  config.log_level = :warn
  config.paths["tmp"] = ENV.fetch("FOLDER")
  config.public_file_server.enabled = true
  # The companion is on this machine, and passes on the balancer's X-Forwarded-For: request.remote_ip is the visitor's.
  # Name the balancer here, too, if it has a public address.
  config.action_dispatch.trusted_proxies = [IPAddr.new("127.0.0.0/8"), IPAddr.new("::1")]
  config.session_store :cookie_store, key: "_guest_book_session"
end
